"""A chat template taken apart: what stands before and after each role's words.

A template is a program that writes a whole conversation. Ours are written turn by turn, so it is
run on probe conversations when the model is loaded, and cut where the probes' words stand. What
comes out must put the probes together again; a template that cannot be taken apart is refused.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, Literal

import msgspec

from kosmosx_stream.formats.chat_template.pieces import Piece

Role = Literal["system", "user", "assistant"]
_Message = tuple[Role, str]
Said = tuple[_Message, ...]
Render = Callable[[Sequence[Mapping[str, Any]], bool], str]
"""Messages (`role`, `content`: text or a list of parts), and whether an answer is to follow, to the
prompt's text."""
Split = Callable[[str], Sequence[Piece]]
"""Cuts a template's text at its control tokens."""


_BLANK = " \n "


class UnsupportedTemplateError(ValueError):
    """The model's chat template cannot be used turn by turn."""


class Block(msgspec.Struct, frozen=True):
    """What a template puts around one message, and whether it strips blanks off its ends."""

    before: str
    after: str
    lstrip: bool = False
    rstrip: bool = False

    def strip(self, text: str) -> str:
        """The text as the template takes it."""
        text = text.lstrip() if self.lstrip else text
        return text.rstrip() if self.rstrip else text


class Blocks(msgspec.Struct, frozen=True, kw_only=True):
    """A template's parts.

    A prompt is `opening` or `instructions`, a block for every message, and `answer`.
    `instructions` and `system` are None where the template has no place for such messages, or
    writes them into a user's.
    """

    opening: str
    instructions: Block | None
    system: Block | None
    user: Block
    assistant: Block
    answer: str

    def of(self, role: Role) -> Block:
        """A message's block; a user's stands in for one that the template lacks."""
        match role:
            case "assistant":
                return self.assistant
            case "system":
                return self.system or self.user
            case "user":
                return self.user

    def begin(self, instructions: str) -> tuple[str, str, str]:
        """What a prompt with instructions begins with: before, the words, after."""
        block = self.instructions
        if block is not None:
            return block.before, block.strip(instructions), block.after
        block = self.user
        return self.opening + block.before, block.strip(instructions), block.after


def take_apart(render: Render, split: Split) -> Blocks:
    """Run a template on probes and cut it up.

    Raises:
        UnsupportedTemplateError: the parts do not make the whole.
    """
    try:
        blocks = _Cut(render, split).blocks()
    except ValueError as error:
        raise UnsupportedTemplateError(
            f"the model's chat template cannot be used turn by turn: {error}"
        ) from error
    for said in _conversations(blocks):
        wanted, made = render(_messages(said), True), "".join(_compose(blocks, said))
        if wanted != made:
            at = len(_common_text(wanted, made))
            raise UnsupportedTemplateError(
                "the model's chat template cannot be used turn by turn: for the roles "
                f"{[role for role, _ in said]} it writes {wanted[at : at + 40]!r} where its parts "
                f"make {made[at : at + 40]!r}"
            )
    return blocks


class _Cut:
    """The cuts. Where there is none, `ValueError`."""

    ASKS: _Message = ("user", "⟦q1⟧")
    TELLS: _Message = ("assistant", "⟦a1⟧")
    ASKS_ON: _Message = ("user", "⟦q2⟧")
    SYSTEM: _Message = ("system", "⟦s⟧")

    def __init__(self, render: Render, split: Split) -> None:
        self._render = render
        turn: Said = (self.ASKS, self.TELLS)
        self._head, asked, told, self._tail = self._around((*turn, self.ASKS_ON))
        self._after_user = _common(split, self._around(turn[:1], answer=False)[1], asked)
        self._after_answer = _common(split, self._around(turn, answer=False)[2], told)
        self._before_answer = asked.removeprefix(self._after_user)
        self._before_user = told.removeprefix(self._after_answer)

    def blocks(self) -> Blocks:
        turn: Said = (self.ASKS, self.TELLS, self.ASKS_ON)
        return Blocks(
            opening=_cut_end(self._head, self._before_user),
            instructions=self._instructions(),
            system=self._system(),
            user=self._block(self._before_user, self._after_user, turn, 2),
            assistant=self._block(self._before_answer, self._after_answer, turn, 1),
            answer=_cut_start(self._tail, self._after_user),
        )

    def _instructions(self) -> Block | None:
        """The block of a system message that comes first."""
        said: Said = (self.SYSTEM, self.ASKS)
        with contextlib.suppress(ValueError):
            before, after, tail = self._around(said)
            if tail == self._tail:
                return self._block(before, _cut_end(after, self._before_user), said, 0)
        return None

    def _system(self) -> Block | None:
        """The block of a system message between turns."""
        said: Said = (self.ASKS, self.TELLS, self.SYSTEM, self.ASKS_ON)
        with contextlib.suppress(ValueError):
            _, _, before, after, _ = self._around(said)
            before = _cut_start(before, self._after_answer)
            return self._block(before, _cut_end(after, self._before_user), said, 2)
        return None

    def _block(self, before: str, after: str, said: Said, at: int) -> Block:
        """The block of the message at this place, which is tried with blanks around its words."""
        role, words = said[at]
        spaced = (*said[:at], (role, _BLANK + words + _BLANK), *said[at + 1 :])
        left, right = _around(self._render(_messages(said), True), [words])
        spaced_left, spaced_right = _around(self._render(_messages(spaced), True), [words])
        return Block(before, after, spaced_left != left + _BLANK, spaced_right != _BLANK + right)

    def _around(self, said: Said, *, answer: bool = True) -> list[str]:
        return _around(self._render(_messages(said), answer), [words for _, words in said])


def _conversations(blocks: Blocks) -> Iterator[Said]:
    """What the parts are tried on."""
    turn: Said = (("user", "one"), ("assistant", "two"))
    last: Said = (("user", "three"),)
    yield last
    yield (*turn, *last)
    yield (*turn, *turn, *last)
    if blocks.instructions is not None:
        yield (("system", "zero"), *last)
        yield (("system", "zero"), *turn, *turn, *last)
    if blocks.system is not None:
        yield (*turn, ("system", "zero"), *last)


def _compose(blocks: Blocks, said: Said) -> Iterator[str]:
    if said[0][0] == "system":
        yield from blocks.begin(said[0][1])
        said = said[1:]
    else:
        yield blocks.opening
    for role, words in said:
        block = blocks.of(role)
        yield from (block.before, block.strip(words), block.after)
    yield blocks.answer


def _messages(said: Said) -> list[dict[str, str]]:
    return [{"role": role, "content": words} for role, words in said]


def _around(text: str, marks: Iterable[str]) -> list[str]:
    """The stretches of text before, between and after the marks."""
    stretches = []
    for mark in marks:
        before, found, text = text.partition(mark)
        if not found or mark in text:
            raise ValueError(f"it leaves a message out, or writes one more than once: {mark}")
        stretches.append(before)
    return [*stretches, text]


def _common(split: Split, one: str, other: str) -> str:
    """What both begin with, control tokens whole."""
    common = ""
    for mine, theirs in zip(split(one), split(other), strict=False):
        if mine == theirs:
            common += mine if isinstance(mine, str) else mine.text
            continue
        if isinstance(mine, str) and isinstance(theirs, str):
            common += _common_text(mine, theirs)
        break
    return common


def _common_text(one: str, other: str) -> str:
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return "".join(character for character, _ in same)


def _cut_start(text: str, start: str) -> str:
    if not text.startswith(start):
        raise ValueError(f"expected {start!r} before {text[:40]!r}")
    return text[len(start) :]


def _cut_end(text: str, end: str) -> str:
    if not text.endswith(end):
        raise ValueError(f"expected {end!r} at the end of {text[-40:]!r}")
    return text[: len(text) - len(end)]
