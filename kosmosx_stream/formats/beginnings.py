"""Text that may become a certain string when more of it comes. Pure."""


def begun(text: str, whole: str) -> int:
    """Length of the text's longest ending with which `whole`, not empty, begins and goes on."""
    at = text.find(whole[0], max(0, len(text) - len(whole) + 1))
    while at >= 0 and not whole.startswith(text[at:]):
        at = text.find(whole[0], at + 1)
    return len(text) - at if at >= 0 else 0
