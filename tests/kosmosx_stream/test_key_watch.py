"""What a key holds open ends with it, on whichever server, whatever is generated meanwhile."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import Twins
from tests.kosmosx_stream.clients import MODEL, client, socket
from tests.server_process import ServerProcess

SOON_S = 5.0
"""Far more than it takes on a machine that does nothing else."""

LONGEST = 1500
"""Tokens of an answer that nobody stops."""


class Owner:
    """An account's manager, and the keys that it hands out."""

    def __init__(self, server: ServerProcess, manager: str) -> None:
        self.url = f"{server.base_url}/v1"
        self.headers = {"Authorization": f"Bearer {manager}"}

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        return httpx.post(self.url + path, headers=self.headers, json=body).json()

    def revoke(self, key: dict[str, Any]) -> None:
        httpx.delete(f"{self.url}/keys/{key['id']}", headers=self.headers)

    def session(self, session_id: str) -> dict[str, Any]:
        return httpx.get(f"{self.url}/sessions/{session_id}", headers=self.headers).json()

    def tokens(self, response_id: str) -> int:
        """The length of a response, once it has ended."""
        deadline = time.monotonic() + 60
        while True:
            found = httpx.get(f"{self.url}/responses/{response_id}", headers=self.headers).json()
            if found["status"] not in {"queued", "in_progress"}:
                return int(found["usage"]["output_tokens"])
            assert time.monotonic() < deadline, found

    def closed(self, session_id: str) -> dict[str, Any]:
        """The session once it is closed."""
        deadline = time.monotonic() + 30
        while (found := self.session(session_id))["status"] == "open":
            assert time.monotonic() < deadline, found
        return found


@pytest.fixture
def owner(twins: Twins) -> Owner:
    return Owner(twins.first, twins.first.create_key())


@contextlib.contextmanager
def reading(work: Callable[[], None]) -> Iterator[threading.Thread]:
    """Read in a thread; wait for its end."""
    thread = threading.Thread(target=work)
    thread.start()
    yield thread
    thread.join(60)
    assert not thread.is_alive()


def follow(server: ServerProcess, key: str, begun: threading.Event, told: list[Any]) -> None:
    """Read a response that does not end by itself, until it does."""
    request = {"model": MODEL, "input": "Hi", "stream": True}
    with httpx.stream(
        "POST", f"{server.base_url}/v1/responses", json=request, timeout=60,
        headers={"Authorization": f"Bearer {key}"},
    ) as stream:  # fmt: skip
        told.append(stream.headers["x-kosmosx-session"])
        for line in stream.iter_lines():
            if line.startswith("data:"):
                told.append(line)
                begun.set()
        told.append(time.monotonic())


@pytest.mark.parametrize("where", ["first", "second"])
def test_a_stream_ends_with_its_key_on_every_server(twins: Twins, owner: Owner, where: str) -> None:
    key = owner.post("/keys")
    begun, told = threading.Event(), list[Any]()
    with reading(lambda: follow(getattr(twins, where), key["key"], begun, told)):
        assert begun.wait(30)
        revoked_at = time.monotonic()
        owner.revoke(key)
    session_id, *_, last, ended_at = told
    assert '"code":"invalid_api_key"' in last
    assert ended_at - revoked_at < SOON_S
    closed = owner.closed(session_id)
    assert closed["usage"]["output_tokens"] > 0
    assert closed["receipt"]["total_usd"] == closed["usage"]["cost_usd"]


def test_a_websocket_ends_with_its_key_on_another_server(twins: Twins, owner: Owner) -> None:
    key = owner.post("/keys")
    with socket(client(twins.second, key["key"])) as ws:
        ws.connection.response.create(model=MODEL, input="Hi")
        while (event := ws.connection.recv()).type != "response.output_text.delta":
            if event.type == "kosmosx:session.opened":
                session_id = event.session["id"]
        revoked_at = time.monotonic()
        owner.revoke(key)
        while (event := ws.connection.recv()).type != "error":
            pass
    assert time.monotonic() - revoked_at < SOON_S
    assert event.error.code == "invalid_api_key"
    assert owner.closed(session_id)["close_reason"] == "revoked"


def test_a_background_response_ends_with_its_key(twins: Twins, owner: Owner) -> None:
    key = owner.post("/keys")
    begun = client(twins.second, key["key"]).responses.create(
        model=MODEL, input="Hi", background=True, max_output_tokens=LONGEST
    )
    owner.revoke(key)
    assert owner.tokens(begun.id) < LONGEST


def test_other_keys_of_the_account_go_on(twins: Twins, owner: Owner) -> None:
    key, other = owner.post("/keys"), owner.post("/keys")
    with socket(client(twins.second, other["key"])) as ws:
        ws.connection.response.create(model=MODEL, input="Hi")
        while ws.connection.recv().type != "response.output_text.delta":
            pass
        owner.revoke(key)
        for _ in range(50):
            assert ws.connection.recv().type != "error"
        assert ws.close()["close_reason"] == "client"


def test_a_socket_ends_when_its_key_expires_and_its_session_goes_on(
    twins: Twins, owner: Owner
) -> None:
    key = owner.post("/keys")
    with socket(client(twins.second, key["key"])) as ws:
        ws.connection.response.create(model=MODEL, input="Hi")
        while (event := ws.connection.recv()).type != "response.output_text.delta":
            if event.type == "kosmosx:session.opened":
                session_id = event.session["id"]
        new = owner.post(f"/keys/{key['id']}/rotate", overlap_s=1)
        while (event := ws.connection.recv()).type != "error":
            pass
    assert event.error.code == "expired_api_key"
    assert owner.session(session_id)["status"] == "open"
    query = {"session_id": session_id}
    with client(twins.first, new["key"]).responses.connect(extra_query=query) as connection:
        connection.send({"type": "kosmosx:session.close"})
        while (event := connection.recv()).type != "kosmosx:session.closed":
            pass
        assert event.session["id"] == session_id


def test_the_last_use_of_a_key_is_noted_as_the_server_stops(slow_server: ServerProcess) -> None:
    owner = Owner(slow_server, slow_server.create_key())
    before = time.time()
    key = owner.post("/keys")
    client(slow_server, key["key"]).models.list()
    slow_server.stop()
    slow_server.start()
    listed = httpx.get(f"{owner.url}/keys", headers=owner.headers).json()["data"]
    assert before <= listed[-1]["last_used_at"] <= time.time()


def test_a_response_that_was_taken_over_ends_with_its_key(twins: Twins, owner: Owner) -> None:
    key = owner.post("/keys")
    begun = client(twins.second, key["key"]).responses.create(
        model=MODEL, input="Hi", background=True, max_output_tokens=LONGEST
    )
    twins.second.kill()
    owner.revoke(key)  # Before the first server has taken it over, or while it does.
    assert owner.tokens(begun.id) < LONGEST
