"""Plans as customers meet them, by the real server: headers, refusals, events."""

import subprocess
from typing import Any

import httpx
import openai
import pytest

from tests.kosmosx_stream.clients import MODEL, client, message, picture_url, socket
from tests.server_process import KOSMOSX, ServerProcess


@pytest.fixture
def basic_key(wordy_server: ServerProcess) -> str:
    """A key whose account is on the plan `basic`: 60 requests a minute."""
    key = wordy_server.create_key()
    headers = {"Authorization": f"Bearer {key}"}
    account = httpx.get(f"{wordy_server.base_url}/v1/account", headers=headers).json()
    command = [KOSMOSX, "plan", account["id"], "basic", "--data-dir", wordy_server.data_dir]
    subprocess.run(command, check=True)
    return key


def post(server: ServerProcess, key: str, path: str, **body: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.post(f"{server.base_url}{path}", headers=headers, json={"model": MODEL, **body})


def test_an_account_without_a_plan_is_not_limited(wordy_server: ServerProcess) -> None:
    answer = post(wordy_server, wordy_server.key, "/v1/responses", input="Hello")
    assert not [name for name in answer.headers if name.startswith("ratelimit")]


@pytest.mark.parametrize("stream", [False, True])
def test_answers_tell_what_is_left(
    wordy_server: ServerProcess, basic_key: str, *, stream: bool
) -> None:
    said = post(wordy_server, basic_key, "/v1/responses", input="Hello", stream=stream)
    assert said.headers["ratelimit-policy"].startswith('"requests";q=60;w=60, "tokens";q=40000')
    assert said.headers["ratelimit"].startswith('"requests";r=59;t=1')
    messages = [{"role": "user", "content": "Hello"}]
    chat = post(wordy_server, basic_key, "/v1/chat/completions", messages=messages, stream=stream)
    assert "ratelimit-remaining" in chat.headers


def test_what_is_too_much_is_refused_with_a_time_to_wait(
    wordy_server: ServerProcess, basic_key: str
) -> None:
    customer = client(wordy_server, basic_key)
    four = [message("Look", *[picture_url()] * 4)]  # Ten pictures a minute are allowed.
    for _ in range(2):
        customer.responses.create(model=MODEL, input=four)
    with pytest.raises(openai.RateLimitError, match="10 images a minute") as refused:
        customer.responses.create(model=MODEL, input=four)
    assert refused.value.code == "rate_limit_exceeded"
    assert 0 < int(refused.value.response.headers["retry-after"]) <= 60


def test_a_socket_is_told_by_an_event(wordy_server: ServerProcess, basic_key: str) -> None:
    with socket(client(wordy_server, basic_key)) as connection:
        events = connection.say(input="Hello")
        told = next(e for e in events if e.type == "kosmosx:rate_limits.updated")
    assert {limit["name"] for limit in told.rate_limits} == {"requests", "tokens", "images"}
    assert events[-1].type == "response.completed"


def test_sessions_that_are_open_are_counted(wordy_server: ServerProcess, basic_key: str) -> None:
    for _ in range(50):
        assert post(wordy_server, basic_key, "/v1/sessions").status_code == 200
    refused = post(wordy_server, basic_key, "/v1/sessions")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_sessions")
