"""The stream's events as the wire has them, and their encoding.

Open Responses 2026-04-24: the `Response...StreamingEvent` schemas.
"""

from typing import Literal

import msgspec

from kosmosx_stream.protocol.frames import Event
from kosmosx_stream.protocol.items import GroundingField, OutputItem, OutputTextPart
from kosmosx_stream.protocol.responses import BudgetField, LiveUsage, ResponseObject

_encoder = msgspec.json.Encoder()


class WireEvent(msgspec.Struct, kw_only=True):
    """An event before it is encoded; its tag is the `type`."""

    sequence_number: int = 0


class ResponseCreated(WireEvent, tag="response.created"):
    """The turn was admitted; the first event of a response."""

    response: ResponseObject


class ResponseInProgress(WireEvent, tag="response.in_progress"):
    """The engine is asked, or goes on after another one died."""

    response: ResponseObject


class ResponseCompleted(WireEvent, tag="response.completed"):
    """The end: the whole answer, committed and settled."""

    response: ResponseObject


class ResponseIncomplete(WireEvent, tag="response.incomplete"):
    """The end of an answer that was cut: by its length, a cancel, a budget, or a steer."""

    response: ResponseObject


class ResponseFailed(WireEvent, tag="response.failed"):
    """The end of an answer that could not go on; `error` says why."""

    response: ResponseObject


class OpenedSession(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    status: Literal["open"] = "open"
    opened_at: int


class SessionOpened(WireEvent, tag="kosmosx:session.opened"):
    """An extension: the session that the connection now is."""

    session: OpenedSession


class BudgetWarning(WireEvent, tag="kosmosx:budget.warning", kw_only=True):
    """An extension: less than a tenth of the month's budget is left."""

    budget: BudgetField


class _ItemEvent(WireEvent, kw_only=True):
    output_index: int = 0
    item: OutputItem


class OutputItemAdded(_ItemEvent, tag="response.output_item.added"):
    """A message or a call begins, empty."""


class OutputItemDone(_ItemEvent, tag="response.output_item.done"):
    """A message or a call, whole."""


class _PartEvent(WireEvent, kw_only=True):
    item_id: str
    output_index: int = 0
    content_index: int = 0


class ContentPartAdded(_PartEvent, tag="response.content_part.added", kw_only=True):
    """A part of a message begins, empty."""

    part: OutputTextPart


class ContentPartDone(_PartEvent, tag="response.content_part.done", kw_only=True):
    """A part of a message, whole, with its boxes."""

    part: OutputTextPart


class OutputTextDelta(_PartEvent, tag="response.output_text.delta", kw_only=True):
    """The next words.

    `usage` is the bill so far; `grounding` the boxes that became complete with this text.
    """

    delta: str = ""
    logprobs: tuple[()] = ()
    usage: LiveUsage = msgspec.field(name="kosmosx:usage")
    grounding: tuple[GroundingField, ...] | msgspec.UnsetType = msgspec.field(
        name="kosmosx:grounding", default=msgspec.UNSET
    )


class OutputTextDone(_PartEvent, tag="response.output_text.done", kw_only=True):
    """The whole text of a part."""

    text: str
    logprobs: tuple[()] = ()


class FunctionCallArgumentsDelta(
    WireEvent, tag="response.function_call_arguments.delta", kw_only=True
):
    """The next characters of a call's arguments; `usage` is the bill so far."""

    item_id: str
    output_index: int
    delta: str
    usage: LiveUsage = msgspec.field(name="kosmosx:usage")


class FunctionCallArgumentsDone(
    WireEvent, tag="response.function_call_arguments.done", kw_only=True
):
    """The whole arguments of a call."""

    item_id: str
    output_index: int
    arguments: str


def wire_events() -> list[type[WireEvent]]:
    """Every event that a response may send."""
    found: list[type[WireEvent]] = []
    below = WireEvent.__subclasses__()
    while below:
        event = below.pop(0)
        below += event.__subclasses__()
        if event.__struct_config__.tag is not None:
            found.append(event)
    return found


def encode(event: WireEvent, sequence: int) -> Event:
    """Number and encode an event."""
    event.sequence_number = sequence
    event_type = str(event.__struct_config__.tag)
    data = _encoder.encode(event)
    return Event(sequence, event_type, data, event_type.startswith("kosmosx:"))
