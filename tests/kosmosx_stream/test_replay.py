"""The log is what clients read: a response can be read again, from any point, while it is live."""

import json
from typing import Any

import httpx
import pytest

from tests.kosmosx_stream.clients import MODEL, client, message, picture_url
from tests.server_process import ServerProcess

BESIDE = (":", "retry: ")
"""How the lines begin that belong to no event."""


def sse(server: ServerProcess, method: str, path: str, **options: Any) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {server.key}"}
    with httpx.stream(
        method, f"{server.base_url}{path}", headers=headers, timeout=60, **options
    ) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        frames = answer.read().decode().split("\n\n")
    events = []
    for frame in frames:
        lines = [line for line in frame.split("\n") if line and not line.startswith(BESIDE)]
        if lines:
            name, data, event_id = lines
            event = json.loads(data.removeprefix("data: "))
            assert name == f"event: {event['type']}"
            assert event_id == f"id: {event['sequence_number']}"
            events.append(event)
    return events


@pytest.fixture(scope="module")
def streamed(server: ServerProcess) -> list[dict[str, Any]]:
    body = {
        "model": MODEL,
        "stream": True,
        "input": [message("Describe the picture.", picture_url())],
    }
    return sse(server, "POST", "/v1/responses", json=body)


def test_a_replay_is_the_same_to_the_byte(server: ServerProcess, streamed: list) -> None:
    path = f"/v1/responses/{streamed[0]['response']['id']}?stream=true"
    assert sse(server, "GET", path) == streamed


def test_a_replay_starts_after_any_event(server: ServerProcess, streamed: list) -> None:
    response_id = streamed[0]["response"]["id"]
    for event in streamed:
        after = event["sequence_number"]
        path = f"/v1/responses/{response_id}?stream=true&starting_after={after}"
        rest = sse(server, "GET", path)
        assert rest == [e for e in streamed if e["sequence_number"] > after]


def test_the_official_client_resumes(server: ServerProcess, streamed: list) -> None:
    response_id = streamed[0]["response"]["id"]
    with client(server).responses.retrieve(response_id, stream=True, starting_after=5) as stream:
        assert [event.sequence_number for event in stream] == [
            event["sequence_number"] for event in streamed if event["sequence_number"] > 5
        ]


def test_a_second_reader_follows_a_live_response(server: ServerProcess) -> None:
    official = client(server)
    with official.responses.create(model=MODEL, input="What can you do?", stream=True) as first:
        events = iter(first)
        created = next(events)
        with official.responses.retrieve(created.response.id, stream=True) as second:
            followed = [event.to_dict() for event in second]
        assert followed == [created.to_dict(), *(event.to_dict() for event in events)]


def test_a_reader_that_leaves_finds_the_rest_later(server: ServerProcess) -> None:
    official = client(server)
    with official.responses.create(model=MODEL, input="What can you do?", stream=True) as stream:
        events = iter(stream)
        seen = [next(events) for _ in range(6)]
    response_id = seen[0].response.id
    with official.responses.retrieve(
        response_id, stream=True, starting_after=seen[-1].sequence_number
    ) as rest:
        later = list(rest)
    assert later[-1].type == "response.completed"
    deltas = [e.delta for e in [*seen, *later] if e.type == "response.output_text.delta"]
    assert "".join(deltas) == later[-1].response.output_text


def test_cancel_stops_a_response_and_bills_what_was_streamed(server: ServerProcess) -> None:
    official = client(server)
    with official.responses.create(model=MODEL, input="What can you do?", stream=True) as stream:
        events = []
        for event in stream:
            events.append(event)
            if event.type == "response.output_text.delta" and len(events) == 6:
                official.responses.cancel(events[0].response.id)
    assert events[-1].type in {"response.incomplete", "response.completed"}
    final = official.responses.retrieve(events[0].response.id)
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert final.output_text == text


@pytest.mark.parametrize("bad", ["x", "-2", "1.5"])
def test_a_bad_cursor_is_named(server: ServerProcess, streamed: list, bad: str) -> None:
    response_id = streamed[0]["response"]["id"]
    answer = httpx.get(
        f"{server.base_url}/v1/responses/{response_id}?stream=true&starting_after={bad}",
        headers={"Authorization": f"Bearer {server.key}"},
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "starting_after"
