"""A server that dies in mid-answer: what was read stays, and is billed once."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import httpx
import openai
import pytest

from tests.kosmosx_stream.clients import MODEL, client, message, picture_url
from tests.server_process import ServerProcess

PATIENCE_S = 30.0


def eventually(check: Callable[[], Any]) -> Any:
    """Ask until the answer is true; what is waited for here happens in another process."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := check()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def read_and_kill(stream: Any, seen: list[Any], server: ServerProcess) -> None:
    for event in stream:
        seen.append(event)
        if event.type == "response.output_text.delta":
            server.kill()


def test_kill_9_in_mid_answer(mortal_server: ServerProcess) -> None:
    official = client(mortal_server)
    seen: list[Any] = []
    stream = official.responses.create(
        model=MODEL,
        input=[message("Describe the picture in detail.", picture_url())],
        stream=True,
    )
    with pytest.raises((openai.APIError, httpx.TransportError)), stream:
        read_and_kill(stream, seen, mortal_server)
    mortal_server.start()
    response_id = seen[0].response.id

    ended = eventually(
        lambda: (
            (response := official.responses.retrieve(response_id)).status != "in_progress"
            and response
        )
    )
    assert ended.status == "failed"
    assert ended.error.code == "server_error"
    with official.responses.retrieve(response_id, stream=True) as replay:
        replayed = list(replay)
    assert [event.to_dict() for event in replayed][: len(seen)] == [e.to_dict() for e in seen]
    assert replayed[-1].type == "response.failed"

    session_id = getattr(ended, "kosmosx:session")["id"]
    session = eventually(
        lambda: (
            (found := official.get(f"/sessions/{session_id}", cast_to=object))["status"] == "closed"
            and found
        )
    )
    assert session["usage"]["output_tokens"] == ended.usage.output_tokens
    assert session["usage"]["total_tokens"] == ended.usage.total_tokens
    tokens = [line for line in session["receipt"]["lines"] if line["meter"] == "tokens"]
    assert [line["units"] for line in tokens] == [ended.usage.total_tokens]
    with closing(sqlite3.connect(f"file:{mortal_server.database}?mode=ro", uri=True)) as books:
        rows = books.execute(
            "SELECT count(*) FROM usage_records WHERE response_id = ? AND meter = 'tokens'",
            [response_id],
        ).fetchone()
    assert rows == (1,)
    with pytest.raises(openai.BadRequestError) as refused:
        official.responses.create(model=MODEL, input="Hi", previous_response_id=response_id)
    assert refused.value.code == "previous_response_not_found"


def test_sigterm_lets_a_turn_finish(mortal_server: ServerProcess) -> None:
    official = client(mortal_server)
    with official.responses.create(
        model=MODEL,
        input=[message("Describe the picture in detail.", picture_url())],
        stream=True,
    ) as stream:
        events = iter(stream)
        seen = [next(events) for _ in range(5)]
        assert mortal_server.stop_while(lambda: seen.extend(events)) == 0
    assert seen[-1].type == "response.completed"
    mortal_server.start()
    assert official.responses.retrieve(seen[0].response.id).status == "completed"


def test_a_data_folder_takes_one_server(mortal_server: ServerProcess) -> None:
    second = ServerProcess(mortal_server.data_dir)
    with pytest.raises(RuntimeError, match="data"):
        second.start()
