"""uvicorn's WebSocket connection, with bounds on what a client makes it keep."""

from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from kosmosx_stream.limits.inbox import Gate, Inbox


class GuardedWebSocket(WebSocketsSansIOProtocol):
    """One connection; most are idle, so what it holds then is kept small."""

    # CPython shares the keys of objects' dictionaries up to thirty, and uvicorn has more: without
    # these each connection would have a table of its own, of 1.5 kB.
    __slots__ = (
        "close_timer",
        "curr_msg_data_type",
        "frames",
        "last_ping_rtt",
        "pending_ping_payload",
        "ping_interval",
        "ping_sent_at",
        "ping_timeout",
        "ping_timer",
        "pong_timer",
        "queue",
        "writable",
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.queue = Inbox()  # type: ignore[assignment]
        self.writable = Gate()  # type: ignore[assignment]

    def start_keepalive(self) -> None:
        super().start_keepalive()
        # The handshake is over: its heads, the key among them, are nobody's any more. Browsers and
        # proxies send several kB.
        self.request.headers.clear()
        self.response.headers.clear()

    def handle_ping(self) -> None:
        if self.writable.is_set():
            super().handle_ping()
        else:
            # RFC 6455 5.5.3: one pong may answer many pings. A client that pings and takes nothing
            # would fill the buffer with them.
            self.conn.data_to_send()

    def handle_cont(self, event: Frame) -> None:
        # A fragment of one byte costs fifty as an object of its own: they become one at once.
        first = cast("bytes | bytearray", self.frames[0])
        whole = first if isinstance(first, bytearray) else bytearray(first)
        whole += event.data
        self.frames = [whole]  # type: ignore[list-item]
        if event.fin:
            self.frames = [bytes(whole)]
            self.send_receive_event_to_app()
