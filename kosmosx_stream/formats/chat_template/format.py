"""The chat format of a model that brings a chat template: its blocks, filled with ids.

Prompts are those of the template, turn by turn, with these differences:

- An answer stays in the prompt as it was generated, token for token, so that the next turn finds
  it in the prefix cache. A template that leaves things out of past answers (what a model thought)
  is not followed there.
- Where a template has no place for instructions or for a system message between turns, they are
  said as a message of the user's.
- Messages of one role may follow each other; each gets its own block.
- The pictures of a message stand before its words, as most templates write them anyway.
- Where a prompt begins with plain text, the blank is missing that some tokenizers put before the
  first word of all.
"""

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Self

import msgspec
from tokenizers import Tokenizer

from conversation.items import (
    FunctionCall,
    FunctionCallOutput,
    Item,
    Message,
    image_ids,
    is_answer,
)
from kosmosx_stream.formats.chat_format import AnswerDecoder
from kosmosx_stream.formats.chat_template.blocks import Block, Render, Role, take_apart
from kosmosx_stream.formats.chat_template.decoder import decoders_of
from kosmosx_stream.formats.chat_template.pictures import Pictures, take_apart_pictures
from kosmosx_stream.formats.chat_template.pieces import Piece, Pieces
from kosmosx_stream.formats.item_text import item_text
from kosmosx_stream.formats.plain_text import name_of


class TemplateFormat:
    """The chat format of any model with a chat template; it sees if the template has pictures."""

    grounds = False
    marks = ()

    def __init__(
        self,
        tokenizer: Tokenizer,
        render: Render,
        ends: Collection[int],
        placeholder: int | None = None,
    ) -> None:
        """`ends` are the ids that end an answer; `placeholder` stands for a picture, if it may.

        Raises:
            UnsupportedTemplateError: the template cannot be used turn by turn.
        """
        self.tokens = name_of(tokenizer)
        self._decoder = decoders_of(tokenizer)
        self._pieces = Pieces(tokenizer)
        # A template has few texts, and each turn is made of them.
        self._template = lru_cache(maxsize=256)(self._pieces.split)
        self._ends = frozenset(ends)
        self._blocks = take_apart(render, self._pieces.split)
        self._pictures = None if placeholder is None else self._find_pictures(render, placeholder)
        self._closing = self._pieces.encode(self._pieces.split(self._blocks.assistant.after))

    @classmethod
    def from_checkpoint(
        cls, folder: Path, ends: Collection[int], placeholder: int | None = None
    ) -> Self:
        """Read tokenizer and template of a checkpoint folder; takes seconds.

        Raises:
            UnsupportedTemplateError: it has none, or none that can be used turn by turn.
        """
        from kosmosx_stream.formats.chat_template.checkpoint import read  # noqa: PLC0415

        return cls(*read(folder), ends, placeholder)

    def _find_pictures(self, render: Render, placeholder: int) -> Pictures | None:
        pictures = take_apart_pictures(render, self._blocks)
        found = self._pieces.encode(self._template(pictures.each)) if pictures else ()
        return pictures if found.count(placeholder) == 1 else None

    @property
    def sees(self) -> bool:
        """Whether messages may hold images."""
        return self._pictures is not None

    @property
    def controls(self) -> frozenset[int]:
        """Ids that no text ever becomes."""
        return self._pieces.controls

    def opening(self, instructions: str | None) -> tuple[int, ...]:
        if not instructions:
            return self._pieces.encode(self._template(self._blocks.opening), begins=True)
        before, said, after = self._blocks.begin(instructions)
        pieces = (*self._template(before), said, *self._template(after))
        return self._pieces.encode(pieces, begins=True)

    def segment(self, items: Sequence[Item], *, grounding: bool) -> tuple[int, ...]:  # noqa: ARG002
        """A turn's stretch, up to where the answer begins; the model is asked for no boxes.

        An answer that nothing follows is left open: what is generated continues it.
        """
        pieces: list[Piece] = []
        after = ""
        for role, said, images in _messages(items):
            block = self._block(role, images)
            pieces += (*self._template(after + block.before), block.strip(said))
            after = block.after
        if items and not is_answer(items[-1]):
            pieces += self._template(after + self._blocks.answer)
        return self._pieces.encode(pieces)

    def ended(self, answer_ids: Sequence[int]) -> bool:
        return bool(answer_ids) and answer_ids[-1] in self._ends

    def closing(self, answer_ids: Sequence[int]) -> tuple[int, ...]:
        """What the template puts after an answer, less the end that the model wrote itself."""
        last = answer_ids[-1] if self.ended(answer_ids) else None
        if last in self._closing:
            return self._closing[self._closing.index(last) + 1 :]
        return self._closing

    def decoder(self) -> AnswerDecoder:
        return self._decoder()

    def _block(self, role: Role, images: int) -> Block:
        block = self._blocks.of(role)
        if not images or self._pictures is None:
            return block
        if block is self._blocks.user:
            return self._pictures.block(block, images)
        return msgspec.structs.replace(block, before=block.before + self._pictures.each * images)


def _messages(items: Sequence[Item]) -> Iterator[tuple[Role, str, int]]:
    """Who says what, and with how many pictures.

    Calls belong to the message before them, and outputs stand together.
    """
    group: list[Item] = []
    for item in items:
        if group and not (_adds(item) and _role(item) == _role(group[0])):
            yield _said(group)
            group = []
        group.append(item)
    if group:
        yield _said(group)


def _said(group: Sequence[Item]) -> tuple[Role, str, int]:
    return _role(group[0]), item_text(group), len(image_ids(group))


def _adds(item: Item) -> bool:
    """Whether it goes on with what was said before it, if that is of the same role."""
    return not isinstance(item, Message)


def _role(item: Item) -> Role:
    match item:
        case Message(role="system" | "developer"):
            return "system"
        case Message(role="assistant") | FunctionCall():
            return "assistant"
        case Message() | FunctionCallOutput():
            return "user"
