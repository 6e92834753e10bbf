"""What items say, as text in a prompt; calls and outputs in the convention of Hermes. Pure."""

from collections.abc import Iterable, Iterator

from conversation.items import FunctionCall, FunctionCallOutput, Image, Item, parts
from kosmosx_stream.call_reader import said_call


def item_text(items: Iterable[Item]) -> str:
    """All text of the items, a line for each part; pictures have none."""
    return "\n".join(line for item in items for line in _lines(item))


def _lines(item: Item) -> Iterator[str]:
    if isinstance(item, FunctionCall):
        yield said_call(item.name, item.arguments)
        return
    lines = (part.text for part in parts(item) if not isinstance(part, Image))
    if isinstance(item, FunctionCallOutput):
        yield f"<tool_response>{' '.join(lines)}</tool_response>"
    else:
        yield from lines
