"""A client's WebSocket: what it says, and frames to it, each within a deadline."""

import asyncio
import contextlib

from starlette.websockets import WebSocket, WebSocketDisconnect

from kosmosx_stream.protocol.errors import encode_websocket
from kosmosx_stream.telemetry.meters import Meters
from kosmosx_stream.transports.failures import to_api_error
from kosmosx_stream.transports.promptly import within

NORMAL_CLOSURE = 1000
GOING_AWAY = 1001
POLICY_VIOLATION = 1008
SERVICE_RESTART = 1012
TRY_AGAIN_LATER = 1013
CLOSE_TIMEOUT_S = 1.0
FAILED = (WebSocketDisconnect, RuntimeError, OSError, TimeoutError)
"""What a send raises to a client that left, that left before it, or that takes nothing."""


class Gone(Exception):
    """The client is not there any more."""


class ClientSocket:
    """An accepted WebSocket."""

    def __init__(self, socket: WebSocket, meters: Meters, *, send_timeout_s: float) -> None:
        self._meters = meters
        self._socket = socket
        self._send_timeout_s = send_timeout_s

    async def receive(self) -> str | bytes | None:
        """The next message; None when the client has left."""
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            return None
        text: str | None = message.get("text")
        binary: bytes = message.get("bytes") or b""
        return binary if text is None else text

    async def send(self, text: str) -> None:
        """Send one frame. A client that takes nothing for too long is dropped; its log is kept.

        Raises:
            Gone: the client is not there, or was dropped.
        """
        try:
            send = self._socket.send({"type": "websocket.send", "text": text})
            await within(self._send_timeout_s, send)
        except FAILED as error:
            raise Gone from error

    async def refuse(self, error: Exception, stream_id: str | None = None) -> None:
        """Send an error event; the connection stays usable.

        Raises:
            Gone: as `send`.
        """
        refusal = to_api_error(error)
        self._meters.refused(refusal.code, "websocket")
        await self.send(encode_websocket(refusal, stream_id=stream_id).decode())

    async def close(self, code: int, reason: str, *, last: str | None = None) -> None:
        """Close, after one `last` frame; a client that takes neither is left to itself."""
        with contextlib.suppress(*FAILED):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                if last is not None:
                    await self._socket.send({"type": "websocket.send", "text": last})
                await self._socket.close(code, reason)
