"""From a response's log to the chunks of a chat completion: a second pure fold.

| entry   | chunks                                                                                |
|---------|---------------------------------------------------------------------------------------|
| Started | the role                                                                              |
| Delta   | one for every piece of text or of a call that it released                             |
| Ended   | the same for what was held back, the finish reason, [the usage,] `[DONE]`             |

An answer that failed ends its stream with an error instead, and no `[DONE]`: OpenAI's clients raise
on it.
"""

from collections.abc import Iterator, Sequence
from typing import assert_never

import msgspec

from conversation.entries import Delta, Ended, Entry, Started
from conversation.items import FunctionCall, Grounding
from kosmosx_stream.formats.answer import AnswerItems, Argued, Change, Closed, Opened, Said
from kosmosx_stream.protocol.chat import (
    ChatUsage,
    Chunk,
    ChunkChoice,
    ChunkDelta,
    ChunkFunction,
    ChunkToolCall,
    StreamOptions,
    chunk_grounding,
    completion_id,
    running_usage,
    whole_usage,
)
from kosmosx_stream.protocol.chat_completion import reasons
from kosmosx_stream.protocol.counting import CostFn, UsageCounter
from kosmosx_stream.protocol.errors import ApiError, encode_http
from kosmosx_stream.protocol.frames import Event
from kosmosx_stream.protocol.projection import OutOfOrder

DONE = b"[DONE]"
_encoder = msgspec.json.Encoder()


class ChatProjector:
    """Folds one response's log to chunks."""

    def __init__(self, cost: CostFn, options: StreamOptions) -> None:
        self._cost = cost
        self._options = options
        self._stream: _Stream | None = None

    def feed(self, entry: Entry) -> list[Event]:
        """Take the next entry; return its chunks.

        Raises:
            OutOfOrder: the entry cannot come next.
        """
        if isinstance(entry, Started):
            self._stream = _Stream(entry, self._cost, self._options)
            return self._stream.start()
        if self._stream is None:
            raise OutOfOrder("a response begins with its Started entry")
        match entry:
            case Delta():
                return self._stream.delta(entry)
            case Ended():
                return self._stream.end(entry)
            case never:
                assert_never(never)


class _Stream:
    """What has been seen of a response that started."""

    def __init__(self, started: Started, cost: CostFn, options: StreamOptions) -> None:
        self._id = completion_id(started.response_id)
        self._created = int(started.created_at)
        self._model = started.model
        self._usage = UsageCounter(started, cost)
        self._answer = AnswerItems(started.output_item_id, calls=started.calls)
        self._deltas = _Deltas()
        self._options = options
        self._sequence = -1

    def start(self) -> list[Event]:
        return [self._chunk(ChunkChoice(delta=ChunkDelta(role="assistant", content="")))]

    def delta(self, entry: Delta) -> list[Event]:
        self._usage.add(entry)
        return self._projected(self._answer.feed(entry.text, entry.grounding))

    def end(self, entry: Ended) -> list[Event]:
        self._usage.add(entry)
        changes = self._answer.feed(entry.text, entry.grounding)
        chunks = self._projected([*changes, *self._answer.finish(entry.reason)])
        try:
            finish_reason, own_reason = reasons(entry, self._answer.items)
        except ApiError as failure:
            return [*chunks, self._event("error", encode_http(failure))]
        last = ChunkChoice(delta=ChunkDelta(), finish_reason=finish_reason, own_reason=own_reason)
        chunks.append(self._chunk(last))
        if self._options.include_usage:
            chunks.append(self._chunk(None))
        return [*chunks, self._event("done", DONE)]

    def _projected(self, changes: Sequence[Change]) -> list[Event]:
        return [
            self._chunk(ChunkChoice(delta=delta))
            for change in changes
            for delta in self._deltas.of(change)
        ]

    def _chunk(self, choice: ChunkChoice | None) -> Event:
        """A chunk with a choice, or the one that only tells the whole usage."""
        chunk = Chunk(
            id=self._id,
            created=self._created,
            model=self._model,
            choices=(choice,) if choice else (),
            usage=self._chunk_usage(whole=choice is None),
            own_usage=self._usage.live(),
        )
        return self._event(chunk.object, _encoder.encode(chunk))

    def _chunk_usage(self, *, whole: bool) -> ChatUsage | msgspec.UnsetType | None:
        if not self._options.include_usage:
            return msgspec.UNSET
        if whole:
            return whole_usage(self._usage.metered())
        return running_usage(self._usage.live()) if self._options.continuous_usage_stats else None

    def _event(self, event_type: str, data: bytes) -> Event:
        self._sequence += 1
        return Event(self._sequence, event_type, data)


class _Deltas:
    """Numbers what OpenAI's clients put together by index: groundings, and calls."""

    def __init__(self) -> None:
        self._groundings = 0
        self._calls = 0

    def of(self, change: Change) -> Iterator[ChunkDelta]:
        match change:
            case Said(text=text, grounding=grounding):
                yield self._said(text, grounding)
            case Argued(text=text):
                yield self._called(ChunkFunction(arguments=text))
            case Opened(item=FunctionCall(call_id=call_id, name=name)):
                self._calls += 1
                yield self._called(ChunkFunction(name=name), call_id)
            case Opened() | Closed():
                pass  # A chunk says nothing of items.
            case never:
                assert_never(never)

    def _said(self, text: str, grounding: Sequence[Grounding]) -> ChunkDelta:
        first = self._groundings
        self._groundings += len(grounding)
        placed = tuple(chunk_grounding(each, first + at) for at, each in enumerate(grounding))
        return ChunkDelta(content=text, grounding=placed or msgspec.UNSET)

    def _called(self, function: ChunkFunction, call_id: str | None = None) -> ChunkDelta:
        call = ChunkToolCall(
            index=self._calls - 1,
            id=call_id or msgspec.UNSET,
            type="function" if call_id else msgspec.UNSET,
            function=function,
        )
        return ChunkDelta(tool_calls=(call,))
