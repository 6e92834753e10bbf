"""Server-sent events: one response's events as an HTTP body that ends with the response."""

import asyncio
import contextlib
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractContextManager
from typing import Any, cast

from starlette.types import Message, Receive, Scope, Send

from kosmosx_stream.access.auth import key_refusal
from kosmosx_stream.protocol import frames
from kosmosx_stream.protocol.errors import ApiError, encode_sse
from kosmosx_stream.protocol.frames import Event
from kosmosx_stream.transports.failures import to_api_error
from kosmosx_stream.transports.promptly import within
from kosmosx_stream.transports.waiting import left
from metering.keys import InvalidKey

HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    # nginx buffers proxied bodies unless it is told not to.
    (b"x-accel-buffering", b"no"),
)


_END: Message = {"type": "http.response.body", "body": b"", "more_body": False}

LARGEST_SEND = 64 * 1024
"""About how many bytes of a replay wait for a slow client beyond what its connection buffers."""


class EventStream:
    """An ASGI response that sends events as they are committed.

    A slow client blocks its own `send` only, and for `send_timeout_s` at most; then its connection
    is dropped, and it can come back for the rest. Silence is broken by comments.
    """

    def __init__(
        self,
        events: AsyncGenerator[Sequence[Event], None] | AsyncIterator[Sequence[Event]],
        *,
        watch: AbstractContextManager[asyncio.Future[InvalidKey]],
        session_id: str | None,
        headers: Mapping[str, str] | None = None,
        send_timeout_s: float,
        keepalive_s: float,
        after: int = -1,
        preamble: bytes = b"",
        extensions: bool = False,
        frame: Callable[[Event], bytes] = frames.sse,
        encode_error: Callable[[ApiError, int], bytes] = encode_sse,
    ) -> None:
        """`watch`: tells of the end of the reader's key. `preamble`: lines before the first event.

        `extensions`: send those events too. `after`: the number of the last event that the client
        has.

        Some clients break off at an event that they do not know, so they have to ask for them.
        `frame` and `encode_error`, which gets a sequence number too, are the protocol's.
        """
        self._events = events
        self._watch = watch
        self._session_id = session_id
        self._headers = headers or {}
        self._send_timeout_s = send_timeout_s
        self._keepalive_s = keepalive_s
        self._preamble = preamble
        self._extensions = extensions
        self._frame = frame
        self._encode_error = encode_error
        self._quiet = True
        self._sequence = after

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        headers = list(HEADERS)
        if self._session_id is not None:
            headers.append((b"x-kosmosx-session", self._session_id.encode()))
        headers += [
            (name.lower().encode(), value.encode()) for name, value in self._headers.items()
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        with self._watch as key_ended:
            await self._run(receive, send, key_ended)

    async def _run(
        self, receive: Receive, send: Send, key_ended: asyncio.Future[InvalidKey]
    ) -> None:
        streaming = asyncio.create_task(self._stream(send))
        side = [
            asyncio.create_task(left(receive)),
            asyncio.create_task(self._keep_alive(send)),
        ]
        try:
            ends: list[asyncio.Future[Any]] = [streaming, *side, key_ended]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (streaming, *side):
                task.cancel()
            for task in (streaming, *side):
                with contextlib.suppress(asyncio.CancelledError, TimeoutError, OSError):
                    await task
        if key_ended.done() and streaming.cancelled():
            await self._break_off(send, key_refusal(key_ended.result()))

    async def _stream(self, send: Send) -> None:
        try:
            if self._preamble:
                await self._send(send, self._preamble)
            async for batch in self._events:
                shown = (
                    self._frame(event) for event in batch if self._extensions or not event.extension
                )
                for piece in _pieces(shown):
                    await self._send(send, piece)
                self._sequence = batch[-1].sequence
        except (TimeoutError, OSError):
            raise  # The client is not there, or takes nothing.
        except Exception as error:  # noqa: BLE001 - the edge of a task
            await self._break_off(send, to_api_error(error))
        else:
            await send(_END)

    async def _break_off(self, send: Send, error: ApiError) -> None:
        # Numbered as the last event: who goes on reading after it must not miss the next.
        await self._send(send, self._encode_error(error, self._sequence))
        await send(_END)

    async def _send(self, send: Send, body: bytes) -> None:
        self._quiet = False
        sending = send({"type": "http.response.body", "body": body, "more_body": True})
        await within(self._send_timeout_s, cast("Coroutine[Any, Any, None]", sending))

    async def _keep_alive(self, send: Send) -> None:
        while True:
            self._quiet = True
            await asyncio.sleep(self._keepalive_s)
            if self._quiet:
                await self._send(send, frames.KEEPALIVE)


def _pieces(events: Iterable[bytes]) -> Iterator[bytes]:
    """Framed events in few sends; none is long, and between them a slow client is waited for."""
    piece = bytearray()
    for frame in events:
        piece += frame
        if len(piece) >= LARGEST_SEND:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)
