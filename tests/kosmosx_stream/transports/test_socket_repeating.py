"""On a WebSocket, too, the same key is the same response and one bill."""

from uuid import uuid4

import httpx
import pytest

from tests.kosmosx_stream.clients import MODEL
from tests.kosmosx_stream.transports.sockets import Socket, socket
from tests.pair import Pair
from tests.server_process import ServerProcess

FIELD = "kosmosx:idempotency_key"


@pytest.fixture
def key() -> str:
    """One that nobody has used."""
    return str(uuid4())


def ask(connection: Socket, key: str, **changes: object) -> None:
    create = {"type": "response.create", "model": MODEL, "input": "Who?", "max_output_tokens": 20}
    connection.connection.send(create | {FIELD: key} | changes)


def events(connection: Socket) -> list[tuple[str, int]]:
    """Those of one response, to its end."""
    connection.seen.clear()
    connection.ends(1)
    return [(event.type, event.sequence_number) for event in connection.seen]


def test_who_lost_the_connection_gets_the_answer_in_its_session(
    slow_server: ServerProcess, key: str
) -> None:
    with socket(slow_server) as first:
        ask(first, key)
        created = first.until("response.created")  # It has begun, though nobody may have heard so.
    with socket(slow_server) as again:
        ask(again, key, stream_id="other")
        assert [number for _, number in events(again)] == list(range(len(again.seen)))
        assert {event.stream_id for event in again.seen} == {"other"}
        assert again.seen[-1].response.id == created.response.id
        ask(again, str(uuid4()), input="And who else?")
        events(again)
        session = again.seen[-1].response.model_extra["kosmosx:session"]["id"]
    headers = {"Authorization": f"Bearer {slow_server.key}"}
    url = f"{slow_server.base_url}/v1/sessions/{session}"
    assert session == created.response.model_extra["kosmosx:session"]["id"]
    assert httpx.get(url, headers=headers).json()["usage"]["turns"] == 2


def test_another_server_goes_on_with_it(pair: Pair, key: str) -> None:
    with socket(pair.one) as first:
        ask(first, key, max_output_tokens=40)
        begun = first.until("response.created").response.id
        pair.one.kill()
    try:
        with socket(pair.two, pair.one.key) as again:
            ask(again, key, max_output_tokens=40)
            assert [number for _, number in events(again)] == list(range(len(again.seen)))
            assert again.seen[-1].response.id == begun
    finally:
        pair.one.start()


def test_another_request_does_not_get_the_key(slow_server: ServerProcess, key: str) -> None:
    with socket(slow_server) as connection:
        ask(connection, key)
        events(connection)
        for changes, code in (
            ({"input": "Who else?"}, "idempotency_key_reused"),
            ({FIELD: "x" * 300}, "invalid_idempotency_key"),
        ):
            ask(connection, key, **changes)
            error = connection.until("error").error
            assert (error.code, error.param) == (code, FIELD)


def test_a_refused_request_is_corrected_with_its_key(slow_server: ServerProcess, key: str) -> None:
    with socket(slow_server) as connection:
        ask(connection, key, previous_response_id="resp_0")
        connection.until("error")
        ask(connection, key)
        assert events(connection)[-1][0] in {"response.completed", "response.incomplete"}
