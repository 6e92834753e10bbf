"""From the items of an answer to their events.

| item            | events                                                                       |
|-----------------|------------------------------------------------------------------------------|
| message begins  | response.output_item.added, response.content_part.added                      |
| it goes on      | response.output_text.delta                                                   |
| it ends         | response.output_text.done, response.content_part.done,                       |
|                 | response.output_item.done                                                    |
| call begins     | response.output_item.added                                                   |
| it goes on      | response.function_call_arguments.delta                                       |
| it ends         | response.function_call_arguments.done, response.output_item.done             |
"""

from collections.abc import Iterator
from typing import assert_never

import msgspec

from conversation.items import Answer, FunctionCall, Message
from kosmosx_stream.formats.answer import Argued, Change, Closed, Opened, Said
from kosmosx_stream.protocol import events
from kosmosx_stream.protocol.events import WireEvent
from kosmosx_stream.protocol.items import grounding_fields, output_item, output_text
from kosmosx_stream.protocol.responses import LiveUsage


class OutputEvents:
    """The events of one answer; each has to be encoded before the next is asked for."""

    def __init__(self, message_id: str, usage: LiveUsage) -> None:
        # One struct for all deltas of text: only what changes is set anew.
        self._delta = events.OutputTextDelta(item_id=message_id, usage=usage)

    def of(self, change: Change, usage: LiveUsage) -> Iterator[WireEvent]:
        """What clients are told of a change; `usage` is the bill so far."""
        match change:
            case Said():
                yield self._text(change, usage)
            case Argued(index, item_id, text):
                yield events.FunctionCallArgumentsDelta(
                    item_id=item_id, output_index=index, delta=text, usage=usage
                )
            case Opened(index, item):
                yield from _begin(index, item)
            case Closed(index, item):
                yield from _end(index, item)
            case never:
                assert_never(never)

    def _text(self, said: Said, usage: LiveUsage) -> WireEvent:
        delta = self._delta
        delta.output_index = said.index
        delta.delta = said.text
        delta.usage = usage
        delta.grounding = grounding_fields(said.grounding) if said.grounding else msgspec.UNSET
        return delta


def _begin(index: int, item: Message | FunctionCall) -> Iterator[WireEvent]:
    yield events.OutputItemAdded(output_index=index, item=output_item(item))
    if isinstance(item, Message):
        yield events.ContentPartAdded(item_id=item.id, output_index=index, part=output_text(""))


def _end(index: int, item: Message | FunctionCall) -> Iterator[WireEvent]:
    if isinstance(item, FunctionCall):
        yield events.FunctionCallArgumentsDone(
            item_id=item.id, output_index=index, arguments=item.arguments
        )
    else:
        for part in item.content:
            assert isinstance(part, Answer)
            yield events.OutputTextDone(item_id=item.id, output_index=index, text=part.text)
            yield events.ContentPartDone(
                item_id=item.id,
                output_index=index,
                part=output_text(part.text, part.grounding),
            )
    yield events.OutputItemDone(output_index=index, item=output_item(item))
