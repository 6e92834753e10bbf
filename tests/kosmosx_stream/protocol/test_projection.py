"""The projection, judged by the specification's schemas and by the official client's models."""

import json
from typing import Any

import httpx2
import msgspec
import openai
import pytest
from openai.types.responses import Response
from openai.types.responses.responses_server_event import ResponsesServerEvent
from pydantic import TypeAdapter

from conversation.entries import Delta, Dropped, Entry, Started
from kosmosx_stream.protocol import frames
from kosmosx_stream.protocol.projection import OutOfOrder, Projector
from kosmosx_stream.protocol.requests import decode_create
from kosmosx_stream.protocol.responses import echoed_fields
from tests.kosmosx_stream.protocol.logs import (
    DELTA,
    DELTAS,
    DOG,
    DONE,
    ITEM,
    OPENED,
    OVER_SSE,
    SCHEMAS,
    cost,
    decoded,
    ended,
    project,
    types,
)

OVER_WEBSOCKET: TypeAdapter[Any] = TypeAdapter(ResponsesServerEvent)


def response_json(projector: Projector) -> dict[str, Any]:
    return json.loads(msgspec.json.encode(projector.response()))


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
