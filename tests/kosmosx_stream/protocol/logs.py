"""Logs to project, what they cost, and what the projections' tests say of events."""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from conversation.entries import Delta, Ended, Entry, Price
from conversation.items import Grounding
from kosmosx_stream.formats.call_reader import said_call
from kosmosx_stream.protocol.frames import Event
from kosmosx_stream.protocol.projection import Projector

SCHEMAS = {
    "response.created": "ResponseCreatedStreamingEvent",
    "response.in_progress": "ResponseInProgressStreamingEvent",
    "response.completed": "ResponseCompletedStreamingEvent",
    "response.incomplete": "ResponseIncompleteStreamingEvent",
    "response.failed": "ResponseFailedStreamingEvent",
    "response.output_item.added": "ResponseOutputItemAddedStreamingEvent",
    "response.output_item.done": "ResponseOutputItemDoneStreamingEvent",
    "response.content_part.added": "ResponseContentPartAddedStreamingEvent",
    "response.content_part.done": "ResponseContentPartDoneStreamingEvent",
    "response.output_text.delta": "ResponseOutputTextDeltaStreamingEvent",
    "response.output_text.done": "ResponseOutputTextDoneStreamingEvent",
    "response.function_call_arguments.delta": "ResponseFunctionCallArgumentsDeltaStreamingEvent",
    "response.function_call_arguments.done": "ResponseFunctionCallArgumentsDoneStreamingEvent",
}
OVER_SSE: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)

DOG = Grounding("dog", 2, 5, ((0.0, 0.25, 0.5, 1.0), (0.5, 0.25, 0.75, 1.0)))
DELTAS = (Delta((5,), "A "), Delta((6, 7)), Delta((8,), "dog", (DOG,)))


def cost(input_tokens: int, output_tokens: int, images: int, detections: int, price: Price) -> int:
    if not output_tokens:
        return 0
    tokens = (input_tokens + output_tokens) * price.token_micro_usd
    return tokens + images * price.image_micro_usd + detections * price.detection_micro_usd


def ended(reason: Any = "stop", **changes: Any) -> Ended:
    fields = {"reason": reason, "at": 1_700_000_002.9, "token_ids": (9,), "cached_tokens": 60}
    return Ended(**(fields | changes))


def project(entries: Sequence[Entry]) -> list[Event]:
    projector = Projector(cost)
    return [event for entry in entries for event in projector.feed(entry)]


def decoded(events: Sequence[Event]) -> list[dict[str, Any]]:
    return [json.loads(event.data) for event in events]


def types(events: Sequence[Event]) -> list[str]:
    return [event.type for event in events]


OPENED = ["response.created", "response.in_progress"]
ITEM = ["response.output_item.added", "response.content_part.added"]
DELTA = "response.output_text.delta"
DONE = ["response.output_text.done", "response.content_part.done", "response.output_item.done"]
CALLED = said_call("look", '{"at":"dog"}')

TOKENS = st.lists(st.integers(0, 65_000), max_size=4).map(tuple)
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)


def ends(groundings: st.SearchStrategy[tuple[Grounding, ...]]) -> st.SearchStrategy[Ended]:
    """Random last entries, with these groundings."""
    return st.builds(
        Ended,
        reason=st.sampled_from(["stop", "length", "cancelled", "budget", "error"]),
        at=st.floats(0, 2e9),
        token_ids=TOKENS,
        text=TEXT,
        grounding=groundings,
        cached_tokens=st.integers(0, 70),
        error_code=st.none() | TEXT,
        error_message=st.none() | TEXT,
    )
