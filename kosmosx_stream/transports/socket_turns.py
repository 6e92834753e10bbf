"""The responses of one WebSocket: said, followed to their ends, and what their ends lead to."""

import msgspec

from kosmosx_stream.live_response import LiveResponse
from kosmosx_stream.protocol import frames
from kosmosx_stream.protocol.client_events import CreateOnStream
from kosmosx_stream.protocol.requests import CreateResponse
from kosmosx_stream.services import Services
from kosmosx_stream.transports.client_socket import ClientSocket, Gone
from kosmosx_stream.transports.socket_session import SocketSession
from metering.authenticator import Principal


class Cursor(msgspec.Struct):
    """How far a response was sent."""

    sequence: int = -1
    type: str = ""


class SocketTurns:
    """Runs turns for one connection; lanes and order are its caller's."""

    def __init__(
        self,
        socket: ClientSocket,
        session: SocketSession,
        services: Services,
        principal: Principal,
    ) -> None:
        self._socket = socket
        self._session = session
        self._services = services
        self._principal = principal
        self._newest: dict[str | None, str] = {}
        """The last response of each lane."""
        self.sequence = -1
        """The number of the last event that was sent."""

    async def run(self, create: CreateOnStream) -> None:
        """Say something and send the answer.

        Raises:
            Gone: the client is not there any more.
        """
        request, lane = create.request, create.stream_id
        try:
            live = await self._say(request)
            response_id = live.started.response_id
            self._newest[lane] = response_id
            cursor = await self._send_events(response_id, lane)
        except Gone:
            raise
        except Exception as error:  # noqa: BLE001 - the edge of a task
            self._evict(request.previous_response_id, lane)
            await self._socket.refuse(error, lane)
        else:
            if cursor.type == "response.failed":
                self._evict(request.previous_response_id, lane)

    async def resume(self, response_id: str, after: int) -> None:
        """Send a response from an event on, to a client that came back for it.

        Raises:
            Gone: the client is not there any more.
        """
        try:
            await self._send_events(response_id, None, after)
        except Gone:
            raise
        except Exception as error:  # noqa: BLE001 - the edge of a task
            await self._socket.refuse(error)

    async def _say(self, request: CreateResponse) -> LiveResponse:
        with self._session.announced() as opens_session:
            started = await self._services.gate().admit(
                self._principal,
                request,
                self._session.id,
                unstored=self._session.unstored,
                opens_session=opens_session,
            )
            return await self._services.hub.say(await self._session.open(), started)

    async def _send_events(self, response_id: str, lane: str | None, after: int = -1) -> Cursor:
        cursor = Cursor()
        async for batch in self._services.hub.follow(response_id, after):
            for event in batch:
                await self._socket.send(frames.websocket(event, lane))
                cursor.sequence, cursor.type = event.sequence, event.type
            self.sequence = cursor.sequence
        return cursor

    def _evict(self, response_id: str | None, lane: str | None) -> None:
        """A continuation failed: its lane cannot go on from there, but another lane still can."""
        elsewhere = (newest for other, newest in self._newest.items() if other != lane)
        if response_id is not None and response_id not in elsewhere:
            self._session.unstored.evict(response_id)
