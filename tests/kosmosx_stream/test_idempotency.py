"""The same key is the same response and one bill: twice at a time, later, after a crash."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import openai
import pytest

from tests.kosmosx_stream.clients import MODEL, client
from tests.pair import Pair
from tests.server_process import ServerProcess

QUESTION = {"model": MODEL, "input": "What can you do?", "max_output_tokens": 40}


@pytest.fixture
def key() -> str:
    """A fresh `Idempotency-Key`."""
    return str(uuid4())


def post(
    server: ServerProcess, key: str, *, api_key: str | None = None, **changes: Any
) -> httpx.Response:
    return httpx.post(
        f"{server.base_url}/v1/responses",
        json=QUESTION | changes,
        headers={"Authorization": f"Bearer {api_key or server.key}", "Idempotency-Key": key},
        timeout=60,
    )


def streamed(official: openai.OpenAI, key: str) -> openai.Stream[Any]:
    return official.responses.create(
        **QUESTION, stream=True, extra_headers={"Idempotency-Key": key}
    )


def turns(server: ServerProcess, api_key: str) -> int:
    headers = {"Authorization": f"Bearer {api_key}"}
    listed = httpx.get(f"{server.base_url}/v1/sessions", headers=headers).json()
    return sum(session["usage"]["turns"] for session in listed["data"])


def test_a_finished_response_is_given_again(slow_server: ServerProcess, key: str) -> None:
    own = slow_server.create_key()
    first, again = (post(slow_server, key, api_key=own) for _ in range(2))
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    assert first.headers["x-kosmosx-session"] == again.headers["x-kosmosx-session"]
    assert turns(slow_server, own) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_completion_is_given_again(slow_server: ServerProcess, key: str, *, stream: bool) -> None:
    own = slow_server.create_key()
    headers = {"Authorization": f"Bearer {own}", "Idempotency-Key": key}
    url = f"{slow_server.base_url}/v1/chat/completions"
    messages = [{"role": "user", "content": "What can you do?"}]
    body = {"model": MODEL, "messages": messages, "max_tokens": 20, "stream": stream}
    answers = [httpx.post(url, json=body, headers=headers, timeout=60) for _ in range(2)]
    assert answers[0].content == answers[1].content
    assert ("[DONE]" in answers[0].text) is stream
    assert turns(slow_server, own) == 1
    refused = httpx.post(url, json=body | {"max_tokens": 21}, headers=headers)
    assert refused.json()["error"]["code"] == "idempotency_key_reused"
    assert post(slow_server, key, api_key=own).status_code == 422


def test_the_key_changes_nothing_where_nothing_is_generated(
    slow_server: ServerProcess, key: str
) -> None:
    official = client(slow_server).with_options(default_headers={"Idempotency-Key": key})
    made = [official.conversations.create() for _ in range(2)]
    made += [official.post("/sessions", cast_to=openai.types.Model) for _ in range(2)]
    made += [official.responses.compact(model=MODEL, input="Hi") for _ in range(2)]
    assert len({each.id for each in made}) == 6
    assert post(slow_server, key).status_code == 200


def test_a_live_stream_is_joined_from_its_start(slow_server: ServerProcess, key: str) -> None:
    official = client(slow_server)
    with streamed(official, key) as first, streamed(official, key) as second:
        events, followed = list(first), list(second)
    assert events == followed
    assert events[-1].type in {"response.completed", "response.incomplete"}


def test_many_at_a_time_are_one(slow_server: ServerProcess, key: str) -> None:
    own = slow_server.create_key()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(slow_server, key, api_key=own), range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert turns(slow_server, own) == 1


def test_a_crashed_server_s_response_is_found_again(slow_server: ServerProcess, key: str) -> None:
    with streamed(client(slow_server), key) as stream:
        events = iter(stream)
        before = [next(events) for _ in range(8)]
        slow_server.kill()
    slow_server.start()
    with streamed(client(slow_server), key) as stream:
        after = list(stream)
    assert after[: len(before)] == before
    assert after[-1].type in {"response.completed", "response.incomplete"}


def test_another_server_goes_on_with_it(pair: Pair, key: str) -> None:
    with streamed(client(pair.one), key) as stream:
        events = iter(stream)
        before = [next(events) for _ in range(8)]
        pair.one.kill()
    try:
        with streamed(client(pair.two, pair.one.key), key) as stream:
            after = list(stream)
    finally:
        pair.one.start()
    assert after[: len(before)] == before
    assert after[-1].type in {"response.completed", "response.incomplete"}


def test_another_request_does_not_get_the_key(slow_server: ServerProcess, key: str) -> None:
    assert post(slow_server, key).status_code == 200
    for changes in ({"input": "Something else"}, {"stream": True}):
        refused = post(slow_server, key, **changes)
        assert refused.status_code == 422
        assert refused.json()["error"]["code"] == "idempotency_key_reused"
        assert refused.json()["error"]["param"] == "Idempotency-Key"


def test_a_refused_request_is_corrected_with_its_key(slow_server: ServerProcess, key: str) -> None:
    refused = post(slow_server, key, previous_response_id="resp_0")
    assert refused.status_code == 400
    assert post(slow_server, key).status_code == 200


def test_accounts_do_not_share_keys(slow_server: ServerProcess, key: str) -> None:
    stranger = slow_server.create_key()
    mine, theirs = post(slow_server, key), post(slow_server, key, api_key=stranger)
    assert theirs.status_code == 200
    assert mine.json()["id"] != theirs.json()["id"]


def test_what_is_no_key_is_refused(slow_server: ServerProcess) -> None:
    refused = post(slow_server, "x" * 300)
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "invalid_idempotency_key"
