"""What a chat template puts around the pictures of a user's message, which stand before its words.

The template is run on messages with one picture and with two: what the second one added is what
each picture gets. A template that treats pictures otherwise (numbers them, or knows none) has no
such parts, and its model is used without pictures.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from kosmosx_stream.formats.chat_template.blocks import (
    Block,
    Blocks,
    Render,
    UnsupportedTemplateError,
)

_WORDS = "⟦q1⟧"
_Asked = tuple[int, str]
"""Pictures and words of a message."""


class Pictures(msgspec.Struct, frozen=True):
    """What stands before the words of a message: `before`, `each` for every picture, `after`."""

    before: str
    each: str
    after: str

    def block(self, block: Block, number: int) -> Block:
        """A user's block with so many pictures in it."""
        if not number:
            return block
        return msgspec.structs.replace(block, before=self.before + self.each * number + self.after)


def take_apart_pictures(render: Render, blocks: Blocks) -> Pictures | None:
    """Run a template on pictures; None if it has no place for them, or no simple one."""
    try:
        parts = _cut(render, blocks)
        fits = all(
            _rendered(render, asked) == "".join(_compose(blocks, parts, asked))
            for asked in _conversations()
        )
    except (ValueError, UnsupportedTemplateError):
        return None
    return parts if fits else None


def _cut(render: Render, blocks: Blocks) -> Pictures:
    one, two = (_before_words(render, blocks, number) for number in (1, 2))
    length = len(two) - len(one)
    for at in range(len(one) - length + 1) if length > 0 else ():
        before, each, after = one[:at], one[at : at + length], one[at + length :]
        if before + 2 * each + after == two:
            return Pictures(before, each, after)
    raise ValueError("two pictures are not one and another one")


def _before_words(render: Render, blocks: Blocks, number: int) -> str:
    """What stands between the opening and the words of a first message with pictures."""
    before, found, _ = _rendered(render, [(number, _WORDS)]).partition(_WORDS)
    if not (found and before.startswith(blocks.opening)):
        raise ValueError("it leaves out the words of a message with a picture")
    return before[len(blocks.opening) :]


def _conversations() -> Iterator[Sequence[_Asked]]:
    """What the parts are tried on."""
    yield [(1, "one")]
    yield [(3, "one"), (0, "two"), (1, "three")]


def _rendered(render: Render, asked: Sequence[_Asked]) -> str:
    """The questions as the template writes them, with an answer after all but the last."""
    messages: list[Mapping[str, Any]] = []
    for number, words in asked:
        pictures = [{"type": "image"}] * number
        content = [*pictures, {"type": "text", "text": words}] if number else words
        messages += [{"role": "user", "content": content}, {"role": "assistant", "content": "so"}]
    return render(messages[:-1], True)


def _compose(blocks: Blocks, parts: Pictures, asked: Sequence[_Asked]) -> Iterator[str]:
    yield blocks.opening
    for at, (number, words) in enumerate(asked):
        if at:
            yield from (blocks.assistant.before, "so", blocks.assistant.after)
        block = parts.block(blocks.user, number)
        yield from (block.before, words, block.after)
    yield blocks.answer
