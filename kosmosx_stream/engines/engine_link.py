"""What is said between the process that has the engine and those that use it, and how it is packed.

Both ends of a stream socket are a `Link`. What one says within a turn of its event loop goes out as
one frame: at 256 live answers a step of the engine is one write and one read, not 256.
A frame is its length (4 bytes) and a msgpack array of messages. Knows no engine and no turn.
"""

import asyncio
import struct
from collections.abc import Callable
from socket import socket
from typing import Any, Literal, Self, cast

import msgspec

from kosmosx_stream.engines.port import FinishReason, Generate

WINDOW = 8
"""Deltas of an answer that are sent before the first of them is taken: what lies between a fast
engine and a slow reader is bounded by it."""
TAKEN_AT_ONCE = WINDOW // 2
"""So many deltas are acknowledged together."""

_LENGTH = struct.Struct("<I")


class _Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Packed as an array that begins with its tag."""


class Ask(_Message, frozen=True, tag=1):
    """Generate an answer, to be spoken of by this number."""

    number: int
    request: Generate


class Taken(_Message, frozen=True, tag=2):
    """So many more deltas of the answer were made use of."""

    number: int
    deltas: int


class Drop(_Message, frozen=True, tag=3):
    """Nobody wants the rest of the answer."""

    number: int


class Hello(_Message, frozen=True, tag=4):
    """The engine is loaded; these do not change, whatever becomes of it."""

    max_model_len: int
    image_tokens: int


class Standing(_Message, frozen=True, tag=5):
    """Whether the engine answers now."""

    ready: bool


class Step(_Message, frozen=True, tag=6):
    """A `Delta` of the answer."""

    number: int
    token_ids: tuple[int, ...]
    finish_reason: FinishReason | None
    cached_tokens: int


class Failed(_Message, frozen=True, tag=7):
    """The answer ends without its end."""

    number: int
    how: Literal["refused", "dead", "error"]
    reason: str


FromUser = Ask | Taken | Drop
FromHost = Hello | Standing | Step | Failed


class Link(asyncio.Protocol):
    """One end of a connection."""

    def __init__(
        self, messages: Any, on_message: Callable[[Any], None], on_lost: Callable[[], None]
    ) -> None:
        """`messages`: the union of those that are heard here."""
        self._decoder = msgspec.msgpack.Decoder(list[messages])
        self._encoder = msgspec.msgpack.Encoder()
        self._on_message = on_message
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._heard = bytearray()
        self._unsaid: list[_Message] = []

    @classmethod
    async def connect(
        cls,
        wire: socket,
        messages: Any,
        on_message: Callable[[Any], None],
        on_lost: Callable[[], None],
    ) -> Self:
        """Speak over this end of a pair of sockets; it is the link's from now on."""
        loop = asyncio.get_running_loop()
        _, link = await loop.create_unix_connection(
            lambda: cls(messages, on_message, on_lost), sock=wire
        )
        return link

    def say(self, message: _Message) -> None:
        """Say it with whatever else is said before the event loop's next turn."""
        if not self._unsaid:
            asyncio.get_running_loop().call_soon(self._send)
        self._unsaid.append(message)

    def close(self) -> None:
        """Hang up; what was said still goes out."""
        self._send()
        if self._transport is not None:
            self._transport.close()

    def _send(self) -> None:
        said, self._unsaid = self._unsaid, []
        if said and self._transport is not None and not self._transport.is_closing():
            frame = bytearray(_LENGTH.size)
            self._encoder.encode_into(said, frame, _LENGTH.size)
            _LENGTH.pack_into(frame, 0, len(frame) - _LENGTH.size)
            self._transport.write(frame)

    # -- asyncio.Protocol ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        at = 0
        while len(self._heard) >= at + _LENGTH.size:
            begin = at + _LENGTH.size
            end = begin + _LENGTH.unpack_from(self._heard, at)[0]
            if len(self._heard) < end:
                break
            for message in self._decoder.decode(memoryview(self._heard)[begin:end]):
                self._on_message(message)
            at = end
        del self._heard[:at]

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self._on_lost()
