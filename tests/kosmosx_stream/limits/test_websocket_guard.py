"""Frames without manners on the real route: control frames, compression, text that is none."""

import json
import struct
import zlib
from collections.abc import Iterator

import pytest

from tests.kosmosx_stream.clients import MODEL
from tests.kosmosx_stream.raw_http import RawClient, frame
from tests.kosmosx_stream.test_limits import MEBIBYTE, resident_bytes
from tests.server_process import ServerProcess

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
COMPRESSED = 0x40
ASK = {"type": "response.create", "model": MODEL, "input": "Say it all.", "max_output_tokens": 64}


@pytest.fixture
def raw(wordy_server: ServerProcess) -> Iterator[RawClient]:
    with RawClient(wordy_server) as connection:
        assert b" 101 " in connection.upgrade()
        yield connection


def close_code(client: RawClient) -> int:
    """The code of the close frame that is next, after which the connection ends."""
    opcode, data = client.read_frame()
    assert opcode == CLOSE
    assert client.rest() == b""
    return int(struct.unpack(">H", data[:2])[0])


def test_control_frames_come_between_the_fragments_of_a_command(raw: RawClient) -> None:
    """... and while it is answered; each ping has its pong, and nothing of the answer is lost."""
    command = json.dumps(ASK).encode()
    raw.frame(TEXT, command[:20], fin=False)
    raw.frame(PING, b"before")
    raw.frame(0, command[20:], fin=False)
    raw.frame(0, b"")
    frames = [raw.read_frame()]
    raw.frame(PING, b"amid")
    raw.frame(PONG, b"nobody asked")
    events = []
    while not events or events[-1]["type"] not in {"response.completed", "response.incomplete"}:
        frames.append(raw.read_frame())
        events = [json.loads(data) for opcode, data in frames if opcode == TEXT]
    pongs = [data for opcode, data in frames if opcode != TEXT]
    assert pongs == [b"before", b"amid"]
    numbers = [event["sequence_number"] for event in events]
    assert numbers == list(range(len(numbers)))
    raw.frame(CLOSE, struct.pack(">H", 1000))
    assert close_code(raw) == 1000


def test_a_binary_message_is_refused_and_the_connection_goes_on(raw: RawClient) -> None:
    raw.frame(BINARY, json.dumps(ASK).encode())
    opcode, data = raw.read_frame()
    assert opcode == TEXT
    assert json.loads(data)["error"]["code"] == "invalid_message"
    raw.frame(TEXT, json.dumps(ASK).encode())
    assert json.loads(raw.read_frame()[1])["type"] == "response.created"


@pytest.mark.parametrize("data", [b"\xff", b'{"type":"\xed\xa0\x80"}'], ids=["byte", "surrogate"])
def test_text_that_is_none_ends_the_connection_and_is_not_logged(
    wordy_server: ServerProcess, raw: RawClient, data: bytes
) -> None:
    log = wordy_server.data_dir / "logs" / "server.log"
    before = log.stat().st_size
    raw.frame(TEXT, data[:1], fin=False)
    raw.frame(0, data[1:])
    assert close_code(raw) == 1007
    logged = log.read_text()[before:]
    assert "Traceback" not in logged
    assert "UTF-8" not in logged


def test_a_compressed_frame_is_not_unpacked(wordy_server: ServerProcess, raw: RawClient) -> None:
    packer = zlib.compressobj(wbits=-15)
    bomb = b"".join(packer.compress(bytes(MEBIBYTE)) for _ in range(256)) + packer.flush()
    before = resident_bytes(wordy_server)
    raw.send(frame(TEXT | COMPRESSED, bomb))
    assert close_code(raw) == 1002
    assert resident_bytes(wordy_server) - before < 16 * MEBIBYTE


def test_queries_are_not_logged(wordy_server: ServerProcess) -> None:
    """Somebody will put a key into one, though none is taken from there."""
    with RawClient(wordy_server) as client:
        assert b" 101 " in client.upgrade(path="/v1/responses?api_key=kx_live_secret")
        client.frame(CLOSE, struct.pack(">H", 1000))
        close_code(client)
    assert "secret" not in (wordy_server.data_dir / "logs" / "server.log").read_text()
