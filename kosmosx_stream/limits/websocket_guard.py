"""uvicorn's WebSocket connection, with bounds on what a client makes it keep."""

import time
from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from kosmosx_stream.limits.inbox import Gate, Inbox

QUANTUM_S = 0.001
"""A connection is listened to for so long, and a piece, before others have their turn."""
PIECE_BYTES = 1024
"""At most 170 frames."""


class GuardedWebSocket(WebSocketsSansIOProtocol):
    """One connection; most are idle, so what it holds then is kept small."""

    # CPython shares the keys of objects' dictionaries up to thirty, and uvicorn has more: without
    # these each connection would have a table of its own, of 1.5 kB.
    __slots__ = (
        "_resting",
        "_unheard",
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
        self._unheard = bytearray()
        self._resting = False

    # -- what comes in ---------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        # uvloop hands over 256 KiB at a time, and goes on while there is more: frames of no bytes
        # would keep everybody else waiting for seconds.
        self._unheard += data
        if not self._resting:
            self._hear()

    async def receive(self) -> Any:
        message = await self.queue.get()
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            self._rest()
        return message

    def _hear(self) -> None:
        """Take in what has come, until there is a message for the app, or the time is up."""
        self._resting = False
        until = time.monotonic() + QUANTUM_S
        while not self.transport.is_closing():
            piece = bytes(self._unheard[:PIECE_BYTES])
            del self._unheard[:PIECE_BYTES]
            super().data_received(piece)
            if self.read_paused:
                return
            if not self._unheard or time.monotonic() > until:
                self._rest()
                return

    def _rest(self) -> None:
        """Let others have their turn, and go on."""
        if not self._unheard:
            self.transport.resume_reading()
        elif not self._resting:
            self._resting = True
            self.transport.pause_reading()
            self.loop.call_soon(self._hear)

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
