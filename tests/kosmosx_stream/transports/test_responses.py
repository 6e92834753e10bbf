"""Responses over HTTP that outlive their requests."""

import time
from typing import Any

import openai
import pytest
from openai.types.responses import Response

from tests.kosmosx_stream.clients import MODEL, client, text_of
from tests.server_process import ServerProcess

PATIENCE_S = 60


def ended(official: openai.OpenAI, response: Response) -> Response:
    """Poll a response to its end, as clients of background responses do."""
    deadline = time.monotonic() + PATIENCE_S
    while response.status in {"queued", "in_progress"}:
        assert time.monotonic() < deadline
        response = official.responses.retrieve(response.id)
    return response


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
