"""uvicorn's WebSocket connection, with bounds on what a client makes it keep."""

from typing import cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame


class GuardedWebSocket(WebSocketsSansIOProtocol):
    """One connection."""

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
