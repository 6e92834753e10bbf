"""Responses over HTTP that outlive their requests."""

import time
from itertools import groupby
from typing import Any

import openai
import pytest
from openai.types.responses import Response

from tests.kosmosx_stream.clients import MODEL, client, message, picture_url, text_of
from tests.server_process import ServerProcess

PATIENCE_S = 60


def ended(official: openai.OpenAI, response: Response) -> Response:
    """Poll a response to its end, as clients of background responses do."""
    deadline = time.monotonic() + PATIENCE_S
    while response.status in {"queued", "in_progress"}:
        assert time.monotonic() < deadline
        response = official.responses.retrieve(response.id)
    return response


def phases(events: list[Any]) -> list[str]:
    """The events' types in order, deltas as one: how many tokens a delta has is chance."""
    return [kind for kind, _ in groupby(event.type for event in events)]


def begin(official: openai.OpenAI, text: str, **request: Any) -> Response:
    return official.responses.create(
        model=MODEL, input=text, background=True, max_output_tokens=60, **request
    )


def test_a_background_response_goes_on_unread(narrow: ServerProcess) -> None:
    official = client(narrow)
    response = begin(official, "Tell me a story.")
    assert (response.status, response.background, response.usage) == ("in_progress", True, None)
    last = ended(official, response)
    assert last.usage is not None
    assert (last.status, last.usage.output_tokens) == ("incomplete", 60)
    with official.responses.retrieve(response.id, stream=True) as stream:
        events = list(stream)
    assert text_of(events) == last.output_text
    session = official.get(f"/sessions/{getattr(last, 'kosmosx:session')['id']}", cast_to=object)
    assert session["status"] == "closed"


def test_one_in_the_foreground_stops_when_nobody_reads(narrow: ServerProcess) -> None:
    official = client(narrow)
    for background, reason in ((False, "cancelled"), (True, None)):
        with official.responses.create(
            model=MODEL,
            input="Tell me another one.",
            max_output_tokens=60,
            stream=True,
            background=background,
        ) as stream:
            created = next(iter(stream))
        last = ended(official, created.response)
        assert getattr(last, "kosmosx:reason", None) == reason


def test_a_background_response_is_cancelled_once(narrow: ServerProcess) -> None:
    official = client(narrow)
    response = begin(official, "Tell me a third one.")
    cancelled = official.responses.cancel(response.id)
    assert cancelled.status == "cancelled"
    assert official.responses.cancel(response.id) == cancelled
    assert official.responses.retrieve(response.id) == cancelled
    with pytest.raises(openai.NotFoundError):
        official.responses.cancel("resp_0")
    live = begin(official, "Tell me a last one.")
    official.responses.delete(live.id)
    with pytest.raises(openai.NotFoundError):
        official.responses.retrieve(live.id)


def test_a_background_response_outlives_its_server(narrow: ServerProcess) -> None:
    official = client(narrow)
    undisturbed = ended(official, begin(official, "Tell me one that lasts."))
    response = begin(official, "Tell me one that lasts.")
    narrow.kill()
    narrow.start()
    last = ended(official, response)
    assert (last.output_text, last.usage) == (undisturbed.output_text, undisturbed.usage)


def test_a_warm_up_over_http(narrow: ServerProcess) -> None:
    official = client(narrow)
    warm = official.responses.create(model=MODEL, input="Hi", extra_body={"generate": False})
    assert (warm.status, warm.output, warm.usage.output_tokens) == ("completed", [], 0)
    again = official.responses.create(
        model=MODEL, input="Go on", previous_response_id=warm.id, max_output_tokens=16
    )
    assert again.usage.output_tokens == 16


def test_input_tokens_are_those_that_a_response_would_have(narrow: ServerProcess) -> None:
    official = client(narrow)
    first = official.responses.create(model=MODEL, input="Hello!", max_output_tokens=16)
    asked: dict[str, Any] = {
        "model": MODEL,
        "input": [message("Is there a circle?", picture_url())],
        "instructions": "Be brief.",
        "previous_response_id": first.id,
    }
    counted = official.responses.input_tokens.count(**asked)
    assert counted.object == "response.input_tokens"
    response = official.responses.create(**asked, max_output_tokens=16)
    assert counted.input_tokens == response.usage.input_tokens
    too_long = official.responses.input_tokens.count(model=MODEL, input="word " * 30_000)
    assert too_long.input_tokens > 30_000
    for changes, param in (
        ({"previous_response_id": "resp_0"}, "previous_response_id"),
        ({"input": [message("?", "data:image/png;base64,AAAA")]}, "input[0].content[1].image_url"),
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            official.responses.input_tokens.count(**asked | changes)
        assert refused.value.param == param


def test_own_events_come_to_those_who_ask(narrow: ServerProcess) -> None:
    official = client(narrow)
    asked: dict[str, Any] = {
        "model": MODEL, "input": "Hello!", "max_output_tokens": 16, "temperature": 0,
    }  # fmt: skip
    with official.responses.create(**asked, stream=True) as stream:
        standard = list(stream)
    assert all(event.type.startswith("response.") for event in standard)
    own = {"X-Kosmosx-Events": "1"}
    with official.responses.create(**asked, stream=True, extra_headers=own) as stream:
        *events, closed = list(stream)
    assert phases(events) == phases(standard)
    assert closed.type == "kosmosx:session.closed"
    assert closed.sequence_number == events[-1].sequence_number + 1
    usage = getattr(events[-1].response, "kosmosx:usage")
    assert closed.session["receipt"]["total_usd"] == usage["cost_usd"]
    with official.responses.retrieve(
        events[0].response.id, stream=True, starting_after=2, extra_headers=own
    ) as stream:
        assert [event.type for event in stream] == [event.type for event in [*events[3:], closed]]
