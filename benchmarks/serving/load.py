"""The load: many answers at once over raw sockets, in a process of its own that costs little.

    python -m benchmarks.serving.load < load.json

It sees bytes, not events: an answer's pieces and its end are found by what they contain, so that a
client costs every contender the same. Compressed or masked answers cannot be read so; ours and the
peers' are neither.
"""

import asyncio
import base64
import json
import re
import statistics
import struct
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal, cast

import msgspec
import uvloop

TIMEOUT_S = 120.0
REFUSAL = b'"type":"error"'
ENDS = (
    b'"type":"response.completed"',
    b'"type":"response.incomplete"',
    b'"type":"response.failed"',
    b"data: [DONE]",
    REFUSAL,
)
TOKENS = re.compile(rb'"(?:output|completion)_tokens":\s?(\d+)')
SHORT_BYTES = 126
"""RFC 6455 5.2: longer payloads have their length in two bytes."""
PING, PONG, TEXT = 0x89, 0x8A, 0x81
KEPT_BYTES = 64 * 1024
"""So much of an answer's end is kept: its usage is in there."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask, of whom, how often.

    `piece` is what every piece of text has in its bytes, and nothing else.
    """

    port: int
    path: str
    transport: Literal["sse", "websocket"]
    key: str = ""
    body: dict[str, Any] = {}
    piece: str
    streams: int


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What the clients saw. Times in milliseconds; a gap is between two reads that had text."""

    tokens: int
    pieces: int
    wire_bytes: int
    seconds: float
    first_ms_p50: float
    first_ms_p99: float
    gap_ms_p50: float
    gap_ms_p99: float


class Stream(asyncio.Protocol):
    """One connection and the one answer that it reads."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._piece = load.piece.encode()
        self._keep = len(self._piece) - 1
        self._tail = b""
        self.rest = bytearray()
        """The end of what came so far."""
        self._ending = False
        self._transport: asyncio.Transport
        self._on_data: Callable[[bytes], None] = self._opening
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.times: list[float] = []
        self.pieces = 0
        self.bytes = 0
        self.tokens = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._on_data(data)

    def connection_lost(self, _: Exception | None) -> None:
        for future in (self.opened, self.ended):
            if not future.done():
                future.set_exception(ConnectionError(f"cut off: {bytes(self.rest)[-400:]!r}"))
                future.exception()  # One that nobody waits for is nobody's loss.

    def send(self, data: bytes) -> None:
        self._transport.write(data)

    def close(self) -> None:
        self._transport.abort()

    def ask(self) -> None:
        """Ask; from here on what comes is the answer."""
        self._on_data = self._read
        self.send(request(self._load))

    def _opening(self, data: bytes) -> None:
        self.rest += data
        if b"\r\n\r\n" not in self.rest:
            return
        if b" 101 " in self.rest[:16]:
            self.opened.set_result(None)
        else:
            self.opened.set_exception(ConnectionError(self.rest.decode(errors="replace")))
        self.rest.clear()
        self._on_data = self._idle

    def _idle(self, data: bytes) -> None:
        """Only pings come to those who say nothing; RFC 6455 5.5.3 wants them answered."""
        if data[0] == PING:
            self.send(struct.pack("!BB4x", PONG, 0x80 | data[1]) + data[2 : 2 + data[1]])

    def _read(self, data: bytes) -> None:
        self.bytes += len(data)
        text = self._tail + data
        if found := text.count(self._piece):
            self.pieces += found
            self.times.append(time.perf_counter())
        self._tail = text[-self._keep :]
        if self._ending or any(end in text for end in ENDS):
            self._ending = True
        self.rest += data
        if REFUSAL in text and not self.ended.done():
            self.ended.set_exception(ConnectionError(text.decode(errors="replace")))
        if len(self.rest) > 2 * KEPT_BYTES:
            del self.rest[:-KEPT_BYTES]
        if self._ending and (told := TOKENS.findall(self.rest)):
            self.tokens = int(told[-1])
            if self.pieces and not self.ended.done():
                self.ended.set_result(None)


def upgrade(load: Load) -> bytes:
    """RFC 6455 4.1: the handshake."""
    nonce = base64.b64encode(b"benchmark-serving").decode()
    return (
        f"GET {load.path} HTTP/1.1\r\nHost: 127.0.0.1:{load.port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {nonce[:22]}==\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Bearer {load.key}\r\n\r\n"
    ).encode()


def frame(body: bytes) -> bytes:
    """RFC 6455 5.2: a text frame, masked with zeros, that is not at all."""
    if len(body) < SHORT_BYTES:
        return struct.pack("!BB4x", TEXT, 0x80 | len(body)) + body
    return struct.pack("!BBH4x", TEXT, 0x80 | SHORT_BYTES, len(body)) + body


def request(load: Load) -> bytes:
    """What asks for the answer."""
    if load.transport == "websocket":
        return frame(msgspec.json.encode({"type": "response.create", **load.body}))
    body = msgspec.json.encode(load.body | {"stream": True})
    return (
        f"POST {load.path} HTTP/1.1\r\nHost: 127.0.0.1:{load.port}\r\n"
        f"Authorization: Bearer {load.key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def connect(load: Load) -> Stream:
    """Open one connection, and make it a WebSocket where it is to be one."""
    loop = asyncio.get_running_loop()
    _, stream = await loop.create_connection(lambda: Stream(load), "127.0.0.1", load.port)
    if load.transport == "websocket":
        stream.send(upgrade(load))
        await stream.opened
    return stream


async def connect_all(load: Load, count: int) -> list[Stream]:
    """Open connections, fifty at a time."""
    streams: list[Stream] = []
    while len(streams) < count:
        some = min(50, count - len(streams))
        streams += await asyncio.gather(*(connect(load) for _ in range(some)))
    return streams


async def run(load: Load) -> Measured:
    """Ask once on every connection, all at the same time, and read to the ends."""
    streams = await connect_all(load, load.streams)
    began = time.perf_counter()
    for stream in streams:
        stream.ask()
    async with asyncio.timeout(TIMEOUT_S):
        await asyncio.gather(*(stream.ended for stream in streams))
    seconds = time.perf_counter() - began
    for stream in streams:
        stream.close()
    return summary(
        [stream.times for stream in streams],
        began,
        seconds,
        tokens=sum(stream.tokens for stream in streams),
        pieces=sum(stream.pieces for stream in streams),
        wire_bytes=sum(stream.bytes for stream in streams),
    )


def summary(
    times: list[list[float]],
    began: float,
    seconds: float,
    *,
    tokens: int,
    pieces: int,
    wire_bytes: int,
) -> Measured:
    """The figures of all streams together; `times`: when each had something to read."""
    firsts = [1000 * (each[0] - began) for each in times]
    gaps = [1000 * (later - sooner) for each in times for sooner, later in pairwise(each)]
    return Measured(
        tokens=tokens,
        pieces=pieces,
        wire_bytes=wire_bytes,
        seconds=seconds,
        first_ms_p50=percentile(firsts, 50),
        first_ms_p99=percentile(firsts, 99),
        gap_ms_p50=percentile(gaps, 50),
        gap_ms_p99=percentile(gaps, 99),
    )


def percentile(values: list[float], percent: int) -> float:
    if len(values) <= 1:
        return sum(values)
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def main() -> None:
    load = msgspec.json.decode(sys.stdin.buffer.read(), type=Load)
    measured = uvloop.run(run(load))
    print(json.dumps(msgspec.to_builtins(measured)))


if __name__ == "__main__":
    main()
