"""The projection, judged by the specification's schemas and by the official client's models."""

import json
from collections.abc import Sequence
from typing import Any

import httpx2
import msgspec
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses.responses_server_event import ResponsesServerEvent
from pydantic import TypeAdapter

from conversation.entries import Delta, Dropped, Ended, Entry, Price, Started
from conversation.items import Grounding
from kosmosx_stream.call_reader import said_call
from kosmosx_stream.protocol import frames
from kosmosx_stream.protocol.projection import Event, OutOfOrder, Projector
from kosmosx_stream.protocol.requests import decode_create
from kosmosx_stream.protocol.responses import echoed_fields

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
OVER_WEBSOCKET: TypeAdapter[Any] = TypeAdapter(ResponsesServerEvent)

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


def response_json(projector: Projector) -> dict[str, Any]:
    return json.loads(msgspec.json.encode(projector.response()))


OPENED = ["response.created", "response.in_progress"]
ITEM = ["response.output_item.added", "response.content_part.added"]
DELTA = "response.output_text.delta"
DONE = ["response.output_text.done", "response.content_part.done", "response.output_item.done"]


@pytest.fixture(scope="module")
def started(make_started) -> Started:
    return make_started()


LOGS: dict[str, tuple[Entry, ...]] = {
    "stop": (*DELTAS, ended()),
    "held back": (*DELTAS, ended(text=".", grounding=(DOG,))),
    "length": (*DELTAS, ended("length")),
    "cancelled": (*DELTAS, ended("cancelled")),
    "budget": (*DELTAS, ended("budget")),
    "error": (*DELTAS, ended("error", error_code="engine_dead", error_message="The engine died.")),
    "nothing said": (ended(),),
    "nothing but held back": (ended(text="x"),),
    "cut at length before text": (ended("length"),),
    "cancelled before text": (Delta((1,)), ended("cancelled")),
    "failed at once": (ended("error", token_ids=(), error_code="rate_limit_exceeded"),),
}


@pytest.mark.parametrize("log", LOGS)
def test_events_satisfy_the_specification(validate, started, log) -> None:
    for event in decoded(project([started, *LOGS[log]])):
        validate(SCHEMAS[event["type"]], event)


@pytest.mark.parametrize("log", LOGS)
def test_events_satisfy_the_official_client(make_started, log) -> None:
    started = make_started(opens_session=True, conversation_id="conv_1")
    for event in project([started, *LOGS[log]]):
        if event.extension:
            continue
        parsed = OVER_SSE.validate_json(event.data)
        assert parsed.type == event.type
        parsed.model_dump()  # Warnings, which fail tests, tell of values the models do not know.
        parsed = OVER_WEBSOCKET.validate_json(frames.websocket(event, "lane"))
        assert parsed.stream_id == "lane"


@pytest.mark.parametrize("log", LOGS)
def test_responses_satisfy_both_at_any_point(validate, started, log) -> None:
    projector = Projector(cost)
    for entry in (started, *LOGS[log]):
        events = projector.feed(entry)
        response = response_json(projector)
        validate("ResponseResource", response)
        Response.model_validate(response).model_dump()
    assert decoded(events)[-1]["response"] == response


def test_order_of_an_answer(started) -> None:
    assert types(project([started, *DELTAS, ended()])) == [
        *OPENED, *ITEM, DELTA, DELTA, *DONE, "response.completed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("held back", [*ITEM, DELTA, DELTA, DELTA, *DONE, "response.completed"]),
        ("length", [*ITEM, DELTA, DELTA, *DONE, "response.incomplete"]),
        ("cancelled", [*ITEM, DELTA, DELTA, *DONE, "response.incomplete"]),
        ("error", [*ITEM, DELTA, DELTA, *DONE, "response.failed"]),
        ("nothing said", [*ITEM, *DONE, "response.completed"]),
        ("nothing but held back", [*ITEM, DELTA, *DONE, "response.completed"]),
        ("cut at length before text", [*ITEM, *DONE, "response.incomplete"]),
        ("cancelled before text", ["response.incomplete"]),
        ("failed at once", ["response.failed"]),
    ],
)
def test_orders_of_other_endings(started, log, expected) -> None:
    assert types(project([started, *LOGS[log]])) == [*OPENED, *expected]


def test_an_opened_session_is_an_extension_with_the_number_1(make_started) -> None:
    events = project([make_started(opens_session=True)])
    assert types(events) == ["response.created", "kosmosx:session.opened", "response.in_progress"]
    assert [event.extension for event in events] == [False, True, False]
    assert decoded(events)[1] == {
        "type": "kosmosx:session.opened",
        "sequence_number": 1,
        "session": {"id": "sess_1", "status": "open", "opened_at": 1_700_000_000},
    }


def test_a_delta_carries_text_usage_and_boxes(started) -> None:
    first, second = [
        event for event in decoded(project([started, *DELTAS])) if event["type"] == DELTA
    ]
    assert (first["delta"], second["delta"]) == ("A ", "dog")
    assert "kosmosx:grounding" not in first
    assert second["kosmosx:grounding"] == [
        {"phrase": "dog", "start": 2, "end": 5, "boxes": [[0, 0.25, 0.5, 1], [0.5, 0.25, 0.75, 1]]}
    ]
    assert first["kosmosx:usage"] == {
        "input_tokens": 70,
        "output_tokens": 1,
        "images": 1,
        "detections": 0,
        "cost_usd": "0.0242",
        "price_version": "2026-11",
    }
    # The delta between them released nothing; its tokens are counted with the next.
    assert second["kosmosx:usage"]["output_tokens"] == 4
    assert second["kosmosx:usage"]["detections"] == 2
    assert second["kosmosx:usage"]["cost_usd"] == "0.02481"


def test_the_terminal_response(started) -> None:
    response = decoded(project([started, *DELTAS, ended(text=".")]))[-1]["response"]
    assert response["status"] == "completed"
    assert response["completed_at"] == 1_700_000_002
    assert response["created_at"] == 1_700_000_000
    assert response["usage"] == {
        "input_tokens": 70,
        "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 75,
    }
    assert response["kosmosx:usage"] == {
        "input_tokens": 70,
        "output_tokens": 5,
        "cached_tokens": 60,
        "total_tokens": 75,
        "images": 1,
        "detections": 2,
        "cost_usd": "0.02501",
        "price_version": "2026-11",
    }
    assert response["kosmosx:session"] == {"id": "sess_1"}
    assert "kosmosx:reason" not in response
    (item,) = response["output"]
    assert (item["id"], item["status"]) == ("msg_1", "completed")
    assert item["content"][0]["text"] == "A dog."
    assert len(item["content"][0]["kosmosx:grounding"]) == 1


@pytest.mark.parametrize(
    ("log", "status", "details", "reason"),
    [
        ("length", "incomplete", {"reason": "max_output_tokens"}, None),
        ("budget", "incomplete", {"reason": "max_output_tokens"}, "budget"),
        ("cancelled", "incomplete", None, "cancelled"),
        ("error", "failed", None, None),
    ],
)
def test_cut_answers(started, log, status, details, reason) -> None:
    response = decoded(project([started, *LOGS[log]]))[-1]["response"]
    assert (response["status"], response["incomplete_details"]) == (status, details)
    assert response.get("kosmosx:reason") == reason
    assert response["completed_at"] is None
    assert response["output"][0]["status"] == "incomplete"
    assert response["usage"]["output_tokens"] == 5


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (None, {"code": "server_error"}),
        ("rate_limit_exceeded", {"code": "rate_limit_exceeded"}),
        ("engine_dead", {"code": "server_error", "kosmosx:code": "engine_dead"}),
    ],
)
def test_errors_have_codes_that_clients_know(started, code, expected) -> None:
    entries = [started, ended("error", error_code=code, error_message="Sorry.")]
    response = decoded(project(entries))[-1]["response"]
    assert response["error"] == expected | {"message": "Sorry."}
    assert response["output"] == []


def test_the_request_is_echoed(make_started) -> None:
    body = {
        "model": "kosmos-x",
        "input": "x",
        "instructions": "Be brief.",
        "previous_response_id": "resp_0",
        "metadata": {"a": "b"},
        "temperature": 0.5,
        "reasoning": {"effort": "low"},
        "store": False,
    }
    request = echoed_fields(decode_create(json.dumps(body)))
    started = make_started(request=request, parent_id="resp_0", store=False)
    response = decoded(project([started]))[0]["response"]
    for name in ("instructions", "previous_response_id", "metadata", "temperature", "store"):
        assert response[name] == body[name]
    assert response["reasoning"] == {"effort": "low", "summary": None}
    assert response["conversation"] is None


def test_a_response_of_a_conversation_names_it_and_no_parent(make_started) -> None:
    started = make_started(conversation_id="conv_1", parent_id="resp_0")
    response = decoded(project([started]))[0]["response"]
    assert response["conversation"] == {"id": "conv_1"}
    assert response["previous_response_id"] is None


def test_a_response_says_what_was_left_out_of_its_prompt(validate, make_started) -> None:
    log = [make_started(dropped=Dropped(turns=3, tokens=900, window=2048)), *LOGS["stop"]]
    events = decoded(project(log))
    for event in (events[0], events[-1]):
        validate("ResponseResource", event["response"])
        assert event["response"]["kosmosx:context"] == {
            "dropped_turns": 3,
            "dropped_tokens": 900,
            "window": 2048,
        }
    OVER_SSE.validate_python(events[-1])


def test_a_response_with_its_whole_history_says_nothing_of_it(started) -> None:
    events = decoded(project([started, *LOGS["stop"]]))
    assert "kosmosx:context" not in events[0]["response"] | events[-1]["response"]


@pytest.mark.parametrize(
    "log", [(DELTAS[0],), (ended(),), "twice", "after the end", "two ends"], ids=str
)
def test_what_is_not_a_log_is_refused(started, log) -> None:
    logs = {
        "twice": (started, started),
        "after the end": (started, ended(), DELTAS[0]),
        "two ends": (started, ended(), ended()),
    }
    with pytest.raises(OutOfOrder):
        project(logs.get(log, log))
    with pytest.raises(OutOfOrder):
        Projector(cost).response()


@pytest.mark.parametrize("log", ["stop", "length", "cancelled", "error"])
def test_the_official_client_streams_it(started, log) -> None:
    events = project([started, *LOGS[log]])
    framed = [frames.KEEPALIVE + frames.sse(event) for event in events]
    body = frames.RETRY + b"".join(framed) + frames.KEEPALIVE

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(
            200, content=body, headers={"content-type": "text/event-stream"}, request=request
        )

    transport = httpx2.Client(transport=httpx2.MockTransport(answer))
    with openai.OpenAI(base_url="http://test/v1", api_key="k", http_client=transport) as client:
        with client.responses.create(model="kosmos-x", input="x", stream=True) as stream:
            seen = list(stream)
        assert [event.type for event in seen] == types(events)
        assert seen[-1].response.output_text == "A dog"
        with client.responses.stream(model="kosmos-x", input="x") as helper:
            assert [event.type for event in helper] == types(events)


# -- calls of functions --------------------------------------------------------------------

CALLED = said_call("look", '{"at":"dog"}')
ADDED, ITEM_DONE = "response.output_item.added", "response.output_item.done"
ARGUED = "response.function_call_arguments.delta"
CALL_DONE = ["response.function_call_arguments.done", ITEM_DONE]


def test_order_of_words_and_calls(make_started) -> None:
    text = f"Let me see. {CALLED}{CALLED}"
    log = [make_started(calls=True), *(Delta((1,), sign) for sign in text), ended()]
    events = [event.type for event in project(log)]
    short = [kind for kind, before in zip(events, ["", *events], strict=False) if kind != before]
    assert short == [
        *OPENED, *ITEM, DELTA, *DONE, ADDED, ARGUED, *CALL_DONE, ADDED, ARGUED, *CALL_DONE,
        "response.completed",
    ]  # fmt: skip


def test_the_arguments_arrive_as_they_were_generated(make_started) -> None:
    log = [make_started(calls=True), *(Delta((1,), sign) for sign in CALLED), ended()]
    wire = decoded(project(log))
    deltas = [event for event in wire if event["type"] == ARGUED]
    assert "".join(event["delta"] for event in deltas) == '{"at":"dog"}'
    assert {(event["item_id"], event["output_index"]) for event in deltas} == {("fc_1_0", 0)}
    # What came before the first arguments is on the bill, though nothing of it was shown.
    counted = [event["kosmosx:usage"]["output_tokens"] for event in deltas]
    assert counted == list(range(counted[0], counted[0] + 12))
    (item,) = wire[-1]["response"]["output"]
    assert item == wire[-2]["item"]
    assert item == {
        "type": "function_call",
        "id": "fc_1_0",
        "call_id": "call_1_0",
        "name": "look",
        "arguments": '{"at":"dog"}',
        "status": "completed",
    }


def test_a_call_that_was_cut_is_incomplete(make_started) -> None:
    log = [make_started(calls=True), Delta((1,), CALLED[:-16]), ended("length")]
    response = decoded(project(log))[-1]["response"]
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    (item,) = response["output"]
    assert (item["status"], item["arguments"]) == ("incomplete", '{"at":"do')


# -- random logs ---------------------------------------------------------------------------

TOKENS = st.lists(st.integers(0, 65_000), max_size=4).map(tuple)
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
UNIT = st.floats(0, 1)
GROUNDINGS = st.lists(
    st.builds(
        Grounding,
        phrase=TEXT,
        start=st.integers(0, 100),
        end=st.integers(0, 100),
        boxes=st.lists(st.tuples(UNIT, UNIT, UNIT, UNIT), max_size=2).map(tuple),
    ),
    max_size=2,
).map(tuple)
SAYINGS = TEXT | st.sampled_from([CALLED, CALLED[:9], CALLED[9:30], CALLED[30:]])
RANDOM_DELTAS = st.lists(st.builds(Delta, TOKENS, SAYINGS, GROUNDINGS), max_size=8)
RANDOM_ENDS = st.builds(
    Ended,
    reason=st.sampled_from(["stop", "length", "cancelled", "budget", "error"]),
    at=st.floats(0, 2e9),
    token_ids=TOKENS,
    text=TEXT,
    grounding=GROUNDINGS,
    cached_tokens=st.integers(0, 70),
    error_code=st.none() | TEXT,
    error_message=st.none() | TEXT,
)


RANDOM_LOGS = st.tuples(RANDOM_DELTAS, st.none() | RANDOM_ENDS).map(
    lambda log: [*log[0], *([log[1]] if log[1] else [])]
)


@given(
    entries=RANDOM_LOGS,
    started=st.fixed_dictionaries({"opens_session": st.booleans(), "calls": st.booleans()}),
    data=st.data(),
)
def test_any_log(validate, make_started, entries, started, data) -> None:
    log: list[Entry] = [make_started(**started), *entries]
    events = project(log)
    wire = decoded(events)

    assert [event.sequence for event in events] == list(range(len(events)))
    for event, fields in zip(events, wire, strict=True):
        assert (fields["type"], fields["sequence_number"]) == (event.type, event.sequence)
        assert event.extension == event.type.startswith("kosmosx:")
        if not event.extension:
            validate(SCHEMAS[event.type], fields)
            OVER_SSE.validate_json(event.data)
    if not started["calls"]:
        _check_text(log, wire)
    _check_items(wire)

    # Whoever joins later, and projects anew, continues with the same bytes.
    cut = data.draw(st.integers(0, len(log)))
    seen = project(log[:cut])
    assert seen == events[: len(seen)]
    assert project(log)[len(seen) :] == events[len(seen) :]


def _check_text(log: Sequence[Entry], wire: list[dict[str, Any]]) -> None:
    parts = [entry for entry in log if not isinstance(entry, Started)]
    text = "".join(entry.text for entry in parts)
    boxes = sum(len(grounding.boxes) for entry in parts for grounding in entry.grounding)
    deltas = [event for event in wire if event["type"] == DELTA]
    assert "".join(event["delta"] for event in deltas) == text
    assert len(deltas) == sum(bool(entry.text or entry.grounding) for entry in parts)
    done = [event for event in wire if event["type"] == "response.output_text.done"]
    assert [event["text"] for event in done] in ([], [text])
    if isinstance(log[-1], Ended):
        response = wire[-1]["response"]
        tokens = sum(len(entry.token_ids) for entry in parts)
        assert response["usage"]["output_tokens"] == tokens
        assert response["kosmosx:usage"]["detections"] == boxes
        assert bool(done) == bool(response["output"])


def _check_items(wire: list[dict[str, Any]]) -> None:
    """Each item is added, goes on and is done in its place, one after the other."""
    items: list[dict[str, Any]] = []
    for event in wire:
        match event:
            case {"type": "response.output_item.added", "item": item}:
                assert event["output_index"] == len(items)
                items.append(item)
            case {"type": "response.output_item.done", "item": item}:
                assert event["output_index"] == len(items) - 1
                assert item["id"] == items[-1]["id"]
                items[-1] = item
            case {"output_index": index}:
                assert (index, event["item_id"]) == (len(items) - 1, items[-1]["id"])
            case {"type": "response.completed" | "response.incomplete" | "response.failed"}:
                assert event["response"]["output"] == items


@pytest.mark.parametrize(("background", "status"), [(False, "incomplete"), (True, "cancelled")])
def test_a_cancelled_background_response_says_so(
    validate: Any, make_started: Any, *, background: bool, status: str
) -> None:
    events = project((make_started(background=background), *DELTAS, ended("cancelled")))
    last = decoded(events)[-1]
    assert (last["type"], last["response"]["status"]) == ("response.incomplete", status)
    assert last["response"]["background"] is background
    validate("ResponseIncompleteStreamingEvent", last)


def test_a_warm_up_has_no_items(validate: Any, make_started: Any) -> None:
    started = make_started(generate=False, max_tokens=1)
    events = project((started, ended("warmed", token_ids=())))
    assert types(events) == [*OPENED, "response.completed"]
    last = decoded(events)[-1]["response"]
    assert (last["status"], last["output"]) == ("completed", [])
    assert last["kosmosx:usage"]["cost_usd"] == "0.00"
    validate("ResponseResource", last)
