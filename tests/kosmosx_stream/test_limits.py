"""Clients that send too much, too slowly or for ever, and those that take nothing."""

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.kosmosx_stream.clients import MODEL, client, message, picture_url
from tests.kosmosx_stream.raw_http import RawClient, frame
from tests.server_process import ServerProcess, started

PER_KEY = 8
PER_ADDRESS = 40
MEBIBYTE = 2**20
LONG_ANSWER = 1500
TOO_MANY = "too_many_connections"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server without patience."""
    yield from started(
        tmp_path_factory.mktemp("strict"),
        KOSMOSX_ENGINE="deterministic",
        KOSMOSX_DETERMINISTIC_LENGTH="1000000",
        KOSMOSX_REQUEST_TIMEOUT_S="1",
        KOSMOSX_SEND_TIMEOUT_S="1",
        KOSMOSX_FIRST_MESSAGE_TIMEOUT_S="4",
        KOSMOSX_IDLE_TIMEOUT_S="2",
        KOSMOSX_KEEPALIVE_S="0.01",
        KOSMOSX_IMAGE_URLS="1",
        KOSMOSX_MAX_REQUEST_BYTES=str(MEBIBYTE),
        KOSMOSX_MAX_CONNECTIONS_PER_KEY=str(PER_KEY),
        KOSMOSX_MAX_REQUESTS_PER_KEY=str(PER_KEY),
        KOSMOSX_MAX_CONNECTIONS_PER_ADDRESS=str(PER_ADDRESS),
    )


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with the limits that it has by default."""
    yield from started(
        tmp_path_factory.mktemp("patient"),
        KOSMOSX_ENGINE="deterministic",
        KOSMOSX_DETERMINISTIC_LENGTH="1000000",
    )


@pytest.fixture
def raw(strict: ServerProcess) -> Iterator[RawClient]:
    with RawClient(strict) as connection:
        yield connection


def refused(answer: bytes) -> tuple[int, str]:
    """Status and code of an answer in the protocol's shape."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    return int(head.split()[1]), json.loads(body)["error"]["code"]


def resident_bytes(server: ServerProcess) -> int:
    command = ["ps", "-o", "rss=", "-p", str(server.pid)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) * 1024


# -- heads and bodies --------------------------------------------------------------------------


@pytest.mark.parametrize("begun", [b"", b"\r\n", b"GET /v1/models HTTP/1.1\r\nHost: x\r\n"])
def test_a_request_that_does_not_come_is_not_waited_for(raw: RawClient, begun: bytes) -> None:
    raw.send(begun)
    assert refused(raw.rest()) == (408, "request_timeout")


@pytest.mark.parametrize("trickle", [b"\r\n", b"X-A: b\r\n"], ids=["empty lines", "headers"])
def test_a_kept_connection_has_no_more_patience(raw: RawClient, trickle: bytes) -> None:
    raw.head("GET", "/health/live")
    assert b" 200 " in raw.socket.recv(65536)
    if trickle.strip():
        raw.send(b"GET / HTTP/1.1\r\n")
    answer = b""
    raw.socket.settimeout(0.05)
    while not answer:
        raw.send(trickle)
        try:
            answer = raw.rest()
        except TimeoutError:
            continue
    assert refused(answer) == (408, "request_timeout")


def test_a_body_keeps_a_pace(raw: RawClient) -> None:
    raw.head("POST", "/v1/responses", "Content-Length: 1000")
    raw.send(b"{")
    assert refused(raw.rest()) == (408, "request_timeout")


def test_a_body_at_its_pace_is_waited_for(strict: ServerProcess, raw: RawClient) -> None:
    """It takes twice the patience, and each part buys time for the next."""
    body = json.dumps({"model": MODEL, "input": "x" * 2**17}).encode()
    raw.head("POST", "/v1/responses", f"Content-Length: {len(body)}", "Connection: close")
    half = len(body) // 2
    raw.send(body[:half])
    with RawClient(strict) as silent:
        silent.rest()  # One patience later:
    raw.send(body[half:])
    assert b"context_length_exceeded" in raw.rest()


@pytest.mark.parametrize(
    "big",
    [
        b"GET / HTTP/1.1\r\nX-Big: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X-Many: x\r\n" * 3000 + b"\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /?" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /v1/responses HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\nX-Big: "
        + b"x" * 20_000
        + b"\r\n\r\n",
    ],
    ids=["one header", "many headers", "path", "query", "handshake"],
)
def test_cve_2025_48956_large_heads_are_refused(raw: RawClient, big: bytes) -> None:
    """vLLM took request heads of any size into memory, from anybody."""
    raw.send(big)
    assert refused(raw.rest()) == (431, "headers_too_large")


def test_cve_2025_48956_an_endless_head_is_cut_off(strict: ServerProcess, raw: RawClient) -> None:
    before = resident_bytes(strict)
    raw.send(b"GET / HTTP/1.1\r\nX-Endless: ")
    assert raw.flood(b"x" * MEBIBYTE)
    assert resident_bytes(strict) - before < 8 * MEBIBYTE


def test_a_body_too_large_is_refused_before_its_end(raw: RawClient) -> None:
    raw.head("POST", "/v1/responses", "Content-Length: 100000000")
    raw.send(b"x" * (MEBIBYTE + 1))
    assert b" 413 " in raw.socket.recv(65536)
    raw.rest()  # It does not wait for the rest.


# -- pictures ----------------------------------------------------------------------------------


def ask_about(server: ServerProcess, *urls: str) -> dict[str, Any]:
    answer = httpx.post(
        f"{server.base_url}/v1/responses",
        json={"model": MODEL, "input": [message("?", *urls)]},
        headers={"Authorization": f"Bearer {server.key}"},
    )
    assert answer.status_code == 400
    return answer.json()["error"]


def test_a_request_has_so_many_pictures(strict: ServerProcess) -> None:
    error = ask_about(strict, *[picture_url()] * 5)
    assert (error["code"], error["param"]) == ("too_many_images", "input[0].content[5].image_url")


@pytest.mark.parametrize(
    "url", ["https://localhost/a.png", "https://[::ffff:7f00:1]/", "https://0/"]
)
def test_no_picture_is_fetched_from_within(strict: ServerProcess, url: str) -> None:
    error = ask_about(strict, url)
    assert error["code"] == "image_url_unavailable"
    assert error["param"] == "input[0].content[1].image_url"


# -- connections -------------------------------------------------------------------------------


def test_an_address_has_so_many_connections(strict: ServerProcess) -> None:
    with ExitStack() as opened:
        for _ in range(PER_ADDRESS):
            opened.enter_context(RawClient(strict)).head("GET", "/health/live", end=False)
        answer = opened.enter_context(RawClient(strict)).rest()
        assert refused(answer) == (429, "too_many_connections")
    assert httpx.get(f"{strict.base_url}/health/live").status_code == 200


def test_a_key_has_so_many_connections(strict: ServerProcess) -> None:
    url = strict.base_url.replace("http", "ws") + "/v1/responses"
    mine = {"Authorization": f"Bearer {strict.create_key()}"}
    other = {"Authorization": f"Bearer {strict.create_key()}"}
    with ExitStack() as opened:
        for _ in range(PER_KEY):
            opened.enter_context(connect(url, additional_headers=mine))
        with pytest.raises(InvalidStatus) as no_socket, connect(url, additional_headers=mine):
            pass
        assert no_socket.value.response.status_code == 429
        assert json.loads(no_socket.value.response.body)["error"]["code"] == TOO_MANY
        assert httpx.get(f"{strict.base_url}/v1/models", headers=mine).status_code == 200
        with connect(url, additional_headers=other):
            pass
    with connect(url, additional_headers=mine):
        pass


def test_a_key_has_so_many_requests_under_way(strict: ServerProcess) -> None:
    """Their bodies do not come to an end; each has a second, which the ninth does not need."""
    url, other = f"{strict.base_url}/v1/models", {"Authorization": f"Bearer {strict.create_key()}"}
    mine = {"Authorization": f"Bearer {strict.key}"}
    with ExitStack() as opened:
        for _ in range(PER_KEY):
            request = opened.enter_context(RawClient(strict))
            request.head("POST", "/v1/responses", "Content-Length: 100", "Expect: 100-continue")
            assert b" 100 " in request.socket.recv(1024)
        refusal = httpx.get(url, headers=mine)
        assert (refusal.status_code, refusal.json()["error"]["code"]) == (429, TOO_MANY)
        assert httpx.get(url, headers=other).status_code == 200
    while httpx.get(url, headers=mine).status_code == 429:
        pass


@pytest.mark.parametrize("said", [False, True], ids=["never", "once"])
def test_a_silent_websocket_is_closed(strict: ServerProcess, *, said: bool) -> None:
    url = strict.base_url.replace("http", "ws") + "/v1/responses"
    with connect(url, additional_headers={"Authorization": f"Bearer {strict.key}"}) as ws:
        if said:
            ws.send("{}")
            ws.recv()
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=60)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


# -- frames ------------------------------------------------------------------------------------


def test_no_compression_is_agreed_on(raw: RawClient) -> None:
    """A compressed frame may be a bomb."""
    answer = raw.upgrade("Sec-WebSocket-Extensions: permessage-deflate")
    assert b" 101 " in answer
    assert b"extensions" not in answer.lower()


def test_a_message_too_large_is_not_kept(raw: RawClient) -> None:
    raw.upgrade()
    raw.send(b"\x81\xff" + (2 * MEBIBYTE).to_bytes(8, "big") + bytes(4))
    assert raw.rest()[2:4] == (1009).to_bytes(2, "big")


def test_a_message_may_come_in_tiny_fragments(raw: RawClient) -> None:
    raw.upgrade()
    raw.frame(0x1, b"[", fin=False)
    raw.send(frame(0x0, b"1,", fin=False) * 5000)
    raw.frame(0x0, b"", fin=False)
    raw.frame(0x0, b"1]")
    assert b"expected a JSON object, but got an array" in raw.socket.recv(65536)
    raw.frame(0x2, b"a", fin=False)
    raw.frame(0x0, b"b")
    assert b"Messages are text frames." in raw.socket.recv(65536)


def test_pongs_are_not_kept_for_a_client_that_takes_none(strict: ServerProcess) -> None:
    with RawClient(strict, slow=True) as flood:
        flood.upgrade()
        before = resident_bytes(strict)
        pings = frame(0x9, b"x" * 125) * 8000
        assert flood.flood(pings)
        assert resident_bytes(strict) - before < 8 * MEBIBYTE


def test_commands_are_not_kept_for_a_client_that_takes_no_answers(strict: ServerProcess) -> None:
    with RawClient(strict, slow=True) as flood:
        flood.upgrade()
        before = resident_bytes(strict)
        cancel = {"type": "kosmosx:response.cancel", "response_id": "resp_0"}
        assert flood.flood(frame(0x1, json.dumps(cancel).encode()) * 1000)
        assert resident_bytes(strict) - before < 8 * MEBIBYTE


FLOODS = {"commands": frame(0x1, b""), "pings": frame(0x9, b""), "pongs": frame(0xA, b"")}


@pytest.mark.parametrize("kind", FLOODS)
def test_others_are_answered_while_one_floods(patient: ServerProcess, kind: str) -> None:
    """... and does not stop before they are."""
    other = client(patient).with_options(timeout=60)
    with ThreadPoolExecutor() as threads, RawClient(patient) as flood:
        flood.upgrade()
        flood.frame(0x2, b"")  # From here on it may be silent for long.
        flood.until(b"Messages are text frames.")
        threads.submit(flood.drain)
        flooding = threads.submit(flood.flood, FLOODS[kind] * 100_000)
        answer = other.responses.create(model=MODEL, input="Hi", max_output_tokens=16)
        assert not flooding.done()
        assert answer.usage is not None
        assert answer.usage.output_tokens == 16


# -- readers that take nothing -----------------------------------------------------------------


@pytest.fixture(scope="module")
def long_response(strict: ServerProcess) -> Any:
    """About a megabyte of events."""
    return client(strict).responses.create(
        model=MODEL, input="Go on for ever.", max_output_tokens=LONG_ANSWER, truncation="auto"
    )


def stalled_http(server: ServerProcess, response_id: str) -> RawClient:
    reader = RawClient(server, slow=True)
    reader.head("GET", f"/v1/responses/{response_id}?stream=true")
    return reader


def stalled_websocket(server: ServerProcess, _response_id: str) -> RawClient:
    reader = RawClient(server, slow=True)
    reader.upgrade()
    asked = {"type": "response.create", "model": MODEL, "input": "Go on."}
    reader.frame(0x1, json.dumps(asked | {"max_output_tokens": LONG_ANSWER}).encode())
    return reader


@pytest.mark.parametrize("stall", [stalled_http, stalled_websocket])
def test_a_stalled_reader_costs_little_and_is_dropped(
    strict: ServerProcess, long_response: Any, stall: Any
) -> None:
    """Its log is kept: whoever comes back reads it from where they were."""
    response_id = long_response.id
    with stall(strict, response_id) as first:
        assert first.dropped()  # What the first one costs, every server keeps.
    before = resident_bytes(strict)
    with ExitStack() as opened:
        readers = [opened.enter_context(stall(strict, response_id)) for _ in range(PER_KEY - 1)]
        for reader in readers:
            assert reader.socket.recv(1)  # Its stream has begun.
        grown = resident_bytes(strict) - before
        assert grown / len(readers) < MEBIBYTE
        assert all(reader.dropped() for reader in readers)
    kept = client(strict).responses.retrieve(response_id)
    assert kept.output_text == long_response.output_text


def test_comments_keep_a_silent_stream_alive(strict: ServerProcess) -> None:
    """More of them than events, and the official client does not see them."""
    created = client(strict).responses.create(
        model=MODEL, input="Hello!", max_output_tokens=LONG_ANSWER, background=True
    )
    with client(strict).responses.retrieve(created.id, stream=True) as stream:
        numbers = [event.sequence_number for event in stream]
    assert numbers == list(range(len(numbers)))
