"""Calls of functions in an answer's text, told from its words while the text arrives. Pure.

The convention is that of Hermes, which many chat models were trained on, without blanks:

    words <tool_call>{"name":"f","arguments":{…}}</tool_call><tool_call>…</tool_call>

`grammar` holds the model to it. The reader is total all the same: what does not keep to the
convention after a `<tool_call>` is shown to nobody.
"""

import re
from collections.abc import Iterator
from typing import Literal

import msgspec

from kosmosx_stream.formats.beginnings import begun

CALL, CALL_END = "<tool_call>", "</tool_call>"

_HEAD = re.compile(r'\{"name":"([A-Za-z0-9_-]+)","arguments":')
_STRUCTURE = re.compile(r'[{}"\\]')


def said_call(name: str, arguments: str) -> str:
    """A call as the model says it."""
    return f'{CALL}{{"name":"{name}","arguments":{arguments}}}{CALL_END}'


class Words(msgspec.Struct, frozen=True):
    """Text for people."""

    text: str


class CallBegins(msgspec.Struct, frozen=True):
    """From here on the answer is a call of this function."""

    name: str


class Arguments(msgspec.Struct, frozen=True):
    """The next characters of the call's arguments, a JSON object."""

    text: str


class CallEnds(msgspec.Struct, frozen=True):
    """The arguments are whole."""


Piece = Words | CallBegins | Arguments | CallEnds


class CallReader:
    """Takes an answer's text in any portions; equal texts give equal pieces, put together.

    Text that may become a `<tool_call>` is held back, and so are blanks before it: those between
    words and a call belong to neither.
    """

    def __init__(self) -> None:
        self._state: Literal["words", "head", "arguments", "between"] = "words"
        self._held = ""
        self._depth = 0
        self._in_string = False

    @property
    def among_words(self) -> bool:
        """Whether no call has begun, nor may have."""
        return self._state == "words" and not begun(self._held, CALL)

    def feed(self, text: str) -> Iterator[Piece]:
        """Take the next characters."""
        self._held += text
        state = None
        while self._held and state != self._state:
            state = self._state
            match state:
                case "words" | "between":
                    yield from self._until_call()
                case "head":
                    yield from self._head()
                case "arguments":
                    yield from self._arguments()

    def finish(self) -> Iterator[Piece]:
        """The answer is over: what might have become a call did not."""
        if self._state == "words" and self._held:
            yield Words(self._held)
        self._held = ""

    def _until_call(self) -> Iterator[Piece]:
        before, found, after = self._held.partition(CALL)
        certain = (before if found else before[: len(before) - begun(before, CALL)]).rstrip()
        if self._state == "words" and certain:
            yield Words(certain)
        if found:
            self._held, self._state = after, "head"
        else:
            self._held = before[len(certain) :]

    def _head(self) -> Iterator[Piece]:
        if head := _HEAD.match(self._held):
            self._held, self._state = self._held[head.end() :], "arguments"
            yield CallBegins(head[1])

    def _arguments(self) -> Iterator[Piece]:
        end, whole = self._end_of_object()
        taken, self._held = self._held[:end], self._held[end:]
        if taken:
            yield Arguments(taken)
        if whole:
            self._state = "between"
            yield CallEnds()

    def _end_of_object(self) -> tuple[int, bool]:
        """How much of the held text belongs to the arguments, and whether they end there."""
        at = 0
        while sign := _STRUCTURE.search(self._held, at):
            at = sign.end()
            match sign[0]:
                case '"':
                    self._in_string = not self._in_string
                case "\\":
                    if at == len(self._held):
                        return at - 1, False  # What it escapes is yet to come.
                    at += 1
                case "{" if not self._in_string:
                    self._depth += 1
                case "}" if not self._in_string:
                    self._depth = max(0, self._depth - 1)
                    if not self._depth:
                        return at, True
        return len(self._held), False
