"""uvicorn's HTTP connection, with the patience it lacks: heads are small, and what is sent arrives.

uvicorn waits for ever for a request that was begun, and takes heads of any size. Here a head has a
deadline, a body a pace, and an address a number of connections. It knows no route and no key.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kosmosx_stream.protocol.errors import InvalidRequest, encode_http

BODY_BYTES_PER_S = 8 * 1024
"""The pace of a body: slower ones are cut off."""
LINGER_S = 5.0
"""How long a client that was answered before its body ended may go on sending, and read why."""

_PHRASES = {
    408: "Request Timeout",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
}


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """`max_head_bytes`: request line and headers. `patience_s`: for the head, and beyond the pace.

    `max_connections`: of one address; 0 is any number.
    """

    max_head_bytes: int
    patience_s: float
    max_connections: int


def body_deadline_s(received: int, patience_s: float) -> float:
    """Until when a body's next part must come, in seconds from its beginning."""
    return patience_s + received / BODY_BYTES_PER_S


class GuardedHttp(HttpToolsProtocol):
    """One connection. A request that overstays is answered where it can be, and cut off."""

    def __init__(
        self, *args: Any, limits: HttpLimits, on_refusal: Callable[[str], None], **options: Any
    ) -> None:
        """`on_refusal` is told the code of each refusal."""
        super().__init__(*args, **options)
        self._on_refusal = on_refusal
        self._limits = limits
        self._refused = False
        self._in_head = True
        self._head_bytes = 0
        self._body_bytes = 0
        self._body_began = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # -- the connection --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._crowded():
            self._refuse(429, "too_many_connections", "Your address has too many connections open.")
        else:
            self._wait(self._limits.patience_s, self._refuse_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._timer is None:  # A kept connection's next request.
                self._wait(self._limits.patience_s, self._refuse_slow)
        super().data_received(data)
        if self._in_head and self._head_bytes > self._limits.max_head_bytes:
            self._refuse_head()

    def handle_websocket_upgrade(self) -> None:
        self._stop_timer()
        if not self._refused:
            super().handle_websocket_upgrade()
            # It holds this protocol, which has no part in the connection any more.
            self.parser = None  # type: ignore[assignment]

    # -- the request, as the parser tells it -----------------------------------------------

    def on_headers_complete(self) -> None:
        self._stop_timer()
        self._in_head = False
        head = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if head > self._limits.max_head_bytes:
            self._refuse_head()
        if not self._refused:
            self._body_bytes = 0
            self._body_began = self.loop.time()
            self._wait(self._limits.patience_s, self._check_pace)
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._stop_timer()
        self._in_head = True
        self._head_bytes = 0
        if not self._refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        if self.cycle.more_body and not self.transport.is_closing():
            self._wait(LINGER_S, self.transport.close)
        super().on_response_complete()

    # -- patience --------------------------------------------------------------------------

    def _wait(self, patience_s: float, then: Callable[[], object]) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(patience_s, then)

    def _check_pace(self) -> None:
        allowed_s = body_deadline_s(self._body_bytes, self._limits.patience_s)
        left_s = self._body_began + allowed_s - self.loop.time()
        if left_s > 0:
            self._wait(left_s, self._check_pace)
        else:
            self._refuse_slow()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- refusals --------------------------------------------------------------------------

    def _crowded(self) -> bool:
        if not self._limits.max_connections or self.client is None:
            return False
        peers = (cast("HttpToolsProtocol", each).client for each in self.connections)
        same = sum(peer is not None and peer[0] == self.client[0] for peer in peers)
        return same > self._limits.max_connections

    def _refuse_head(self) -> None:
        limit = self._limits.max_head_bytes
        self._refuse(431, "headers_too_large", f"The headers are larger than {limit} bytes.")

    def _refuse_slow(self) -> None:
        self._refuse(408, "request_timeout", "The request did not arrive in time.")

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Say why, unless an answer is under way already, and close."""
        self._stop_timer()
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._on_refusal(code)
        answering = self.cycle is not None and not self.cycle.response_complete
        if not answering or not self.cycle.response_started:
            self.transport.write(_answer(status, code, message))
        self.transport.close()


def _answer(status: int, code: str, message: str) -> bytes:
    body = encode_http(InvalidRequest(message, code=code))
    head = (
        f"HTTP/1.1 {status} {_PHRASES[status]}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
