"""An answer's text folded into the items that it is: a message, calls of functions. Pure.

Every projection, and the history, sees the same items under the same ids: they are a function of
the log alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

import msgspec

from conversation.entries import EndReason
from conversation.items import Answer, FunctionCall, Grounding, ItemStatus, Message
from kosmosx_stream.formats.call_reader import (
    Arguments,
    CallBegins,
    CallEnds,
    CallReader,
    Piece,
    Words,
)

AnswerItem = Message | FunctionCall


class Opened(msgspec.Struct, frozen=True):
    """An item begins; it is in progress and empty. `index` is its place in the answer."""

    index: int
    item: AnswerItem


class Said(msgspec.Struct, frozen=True, gc=False):
    """The message goes on."""

    index: int
    item_id: str
    text: str
    grounding: Sequence[Grounding]


class Argued(msgspec.Struct, frozen=True):
    """The arguments of a call go on."""

    index: int
    item_id: str
    text: str


class Closed(msgspec.Struct, frozen=True):
    """An item is whole, or was cut off."""

    index: int
    item: AnswerItem


Change = Opened | Said | Argued | Closed


class AnswerItems:
    """The items of one answer, as far as its text has come.

    An answer that ended by itself or at its length has at least a message, be it empty.
    """

    def __init__(self, message_id: str, *, calls: bool) -> None:
        """`calls`: the text may hold calls; otherwise all of it is the message's."""
        self._message_id = message_id
        self._reader = CallReader() if calls else None
        self._closed: list[AnswerItem] = []
        self._open: AnswerItem | None = None
        self._calls = 0
        self._text: list[str] = []
        self._grounding: list[Grounding] = []

    @property
    def items(self) -> tuple[AnswerItem, ...]:
        """The items as they stand."""
        return (*self._closed, *([] if self._open is None else [self._filled("in_progress")]))

    @property
    def can_break(self) -> bool:
        """Whether it can be gone on from here; a call's output would have to come first."""
        return self._reader is None or self._reader.among_words

    def feed(self, text: str, grounding: Sequence[Grounding] = ()) -> list[Change]:
        """Take released text, and the groundings that became complete with it."""
        if self._reader is None:
            return list(self._words(text, grounding)) if text or grounding else []
        changes: list[Change] = []
        for piece in self._reader.feed(text):
            changes += self._piece(piece, grounding)
            grounding = ()
        if grounding:
            changes += self._words("", grounding)
        return changes

    def finish(self, reason: EndReason) -> list[Change]:
        """The answer is over."""
        changes: list[Change] = []
        for piece in self._reader.finish() if self._reader else ():
            changes += self._piece(piece, ())
        if not self._closed and self._open is None and reason in {"stop", "length"}:
            changes += self._words("", ())  # The model had its say, and it was nothing.
        changes += self._close("completed" if reason == "stop" else "incomplete")
        return changes

    def _piece(self, piece: Piece, grounding: Sequence[Grounding]) -> Iterable[Change]:
        match piece:
            case Words(text):
                return self._words(text, grounding)
            case CallBegins(name):
                return self._call(name)
            case Arguments(text):
                return self._argue(text)
            case CallEnds():
                return self._close("completed")
            case never:
                assert_never(never)

    def _words(self, text: str, grounding: Sequence[Grounding]) -> Iterator[Change]:
        if self._calls:
            return  # A box of words that are said already; it is counted all the same.
        if self._open is None:
            message = Message(
                id=self._message_id, role="assistant", content=(), status="in_progress"
            )
            yield from self._begin(message)
        self._text.append(text)
        self._grounding += grounding
        if text or grounding:
            yield Said(len(self._closed), self._message_id, text, grounding)

    def _call(self, name: str) -> Iterator[Change]:
        yield from self._close("completed")
        stem = f"{self._message_id.removeprefix('msg_')}_{self._calls}"
        self._calls += 1
        yield from self._begin(
            FunctionCall(
                id=f"fc_{stem}",
                call_id=f"call_{stem}",
                name=name,
                arguments="",
                status="in_progress",
            )
        )

    def _argue(self, text: str) -> Iterator[Change]:
        assert self._open is not None
        self._text.append(text)
        yield Argued(len(self._closed), self._open.id, text)

    def _begin(self, item: AnswerItem) -> Iterator[Change]:
        self._open = item
        yield Opened(len(self._closed), item)

    def _close(self, status: ItemStatus) -> Iterator[Change]:
        if self._open is None:
            return
        item = self._filled(status)
        self._open = None
        self._text.clear()
        yield Closed(len(self._closed), item)
        self._closed.append(item)

    def _filled(self, status: ItemStatus) -> AnswerItem:
        """The open item with what was said so far."""
        text = "".join(self._text)
        match self._open:
            case Message() as message:
                answer = Answer(text=text, grounding=tuple(self._grounding))
                return msgspec.structs.replace(message, content=(answer,), status=status)
            case FunctionCall() as call:
                return msgspec.structs.replace(call, arguments=text, status=status)
            case None:
                raise AssertionError("no item is open")
