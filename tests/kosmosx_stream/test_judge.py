"""The judge finds what is wrong, and the witness shows it all that clients receive."""

import json
from typing import Any

import httpx
import pytest

from tests.kosmosx_stream.clients import MODEL, client, socket
from tests.kosmosx_stream.judge import Judge
from tests.server_process import ServerProcess

DONE = {
    "type": "response.output_text.done", "sequence_number": 4, "item_id": "msg_1",
    "output_index": 0, "content_index": 0, "text": "Hello.", "logprobs": [],
}  # fmt: skip
ERROR = {"message": "no", "type": "invalid_request_error", "param": None, "code": "not_found"}


@pytest.fixture(scope="module")
def strict() -> Judge:
    return Judge()


def faults(strict: Judge) -> list[str]:
    found, strict.faults = strict.faults, []
    return found


@pytest.mark.parametrize("over", ["sse", "websocket"])
def test_events(strict: Judge, over: str) -> None:
    strict.event(json.dumps(DONE), over=over)
    assert not faults(strict)
    changes: list[dict[str, Any]] = [{"text": 1}, {"secret": "x"}, {"type": "response.unheard_of"}]
    for change in changes:
        strict.event(json.dumps(DONE | change), over=over)
        assert faults(strict), change


def test_answers(strict: Judge) -> None:
    path, body = "/v1/sessions/sess_1", json.dumps({"error": ERROR}).encode()
    strict.answer("GET", path, 404, "application/json", body)
    assert not faults(strict)
    strict.answer("GET", path, 418, "application/json", body)
    strict.answer("GET", path, 200, "application/json", body)
    strict.answer("GET", path, 200, "text/html", body)
    assert len(faults(strict)) >= 3


def test_it_is_shown_every_transport(judge: Judge, wordy_server: ServerProcess) -> None:
    official = client(wordy_server)

    def shown() -> int:
        before, judge.judged = judge.judged, 0
        return before

    shown()
    official.responses.create(model=MODEL, input="Hello!")
    assert shown() == 1
    with official.responses.create(model=MODEL, input="Hello!", stream=True) as stream:
        assert len(list(stream)) == shown()
    with socket(official) as ws:
        assert len(ws.say(input="Hello!")) == shown()
    httpx.get(f"{wordy_server.base_url}/v1/models")
    assert shown() == 1
