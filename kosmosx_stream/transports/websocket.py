"""Responses over a WebSocket: a connection is a session, its commands run in lanes.

Commands with the same `stream_id` (or none) run one after another, different ones side by side.
A refused command is answered with an error event, and the connection stays usable.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine

from starlette.responses import Response
from starlette.websockets import WebSocket

from kosmosx_stream.auth import SUBPROTOCOL, authenticate, check_origin, offered_subprotocols
from kosmosx_stream.ids import new_id
from kosmosx_stream.live_response import LiveResponse
from kosmosx_stream.live_session import LiveSession
from kosmosx_stream.protocol import frames
from kosmosx_stream.protocol.client_events import (
    CancelResponse,
    CloseSession,
    CreateOnStream,
    decode_client_event,
)
from kosmosx_stream.protocol.errors import (
    ApiError,
    InvalidRequest,
    RateLimited,
    encode_http,
    encode_websocket,
)
from kosmosx_stream.protocol.sessions import encode_session_closed
from kosmosx_stream.services import Services
from kosmosx_stream.transports.failures import to_api_error
from kosmosx_stream.transports.query import STARTING_AFTER, Text
from metering.authenticator import Principal

SESSION_ID = Text(name="session_id", says="The session that a client comes back to.")
RESPONSE_ID = Text(name="response_id", says="The response that it was reading.")
QUERY = (SESSION_ID, RESPONSE_ID, STARTING_AFTER)

NORMAL_CLOSURE = 1000
POLICY_VIOLATION = 1008
TRY_AGAIN_LATER = 1013
CLOSE_TIMEOUT_S = 1.0


async def responses_socket(socket: WebSocket) -> None:
    """`GET /v1/responses`, upgraded."""
    services: Services = socket.app.state.services
    try:
        check_origin(socket, services.settings.allowed_origins)
        principal = await authenticate(socket, services.authenticator)
    except ApiError as error:
        refusal = Response(encode_http(error), error.status, media_type="application/json")
        await socket.send_denial_response(refusal)
        return
    await socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered_subprotocols(socket) else None)
    await Connection(socket, services, principal).run()


class _Gone(Exception):
    """The client is not there any more."""


class Connection:
    """One WebSocket and the session that it is."""

    def __init__(self, socket: WebSocket, services: Services, principal: Principal) -> None:
        self._socket = socket
        self._services = services
        self._hub = services.hub
        self._principal = principal
        self._session_id = new_id("sess")
        self._session: LiveSession | None = None
        self._announced = False
        self._attachment = contextlib.ExitStack()
        self._lanes: defaultdict[str | None, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: asyncio.TaskGroup
        self._in_flight: set[asyncio.Task[None]] = set()
        self._sequence = -1

    async def run(self) -> None:
        """Serve until the connection ends. What is live then goes on, for a while, without it."""
        max_age_s = self._services.settings.max_connection_s
        with self._attachment:
            try:
                async with asyncio.timeout(max_age_s), asyncio.TaskGroup() as self._tasks:
                    await self._serve()
                    for task in self._in_flight:
                        task.cancel()
            except* _Gone:
                await self._close(TRY_AGAIN_LATER, "nothing was taken for too long")
            except* TimeoutError:
                await self._close(POLICY_VIOLATION, "websocket_connection_limit_reached")

    async def _serve(self) -> None:
        await self._rejoin()
        async for text in self._messages():
            if await self._obey(text):
                return

    # -- commands --------------------------------------------------------------------------

    async def _messages(self) -> AsyncIterator[str]:
        # A client that came back to its session has said something before.
        silence_s = self._services.settings.first_message_timeout_s
        first = None if self._session else silence_s
        while True:
            try:
                async with asyncio.timeout(None if self._in_flight else first):
                    message = await self._socket.receive()
            except TimeoutError:
                await self._close(POLICY_VIOLATION, "no message arrived in time")
                return
            first = None
            if message["type"] == "websocket.disconnect":
                return
            if (text := message.get("text")) is not None:
                yield text
            else:
                binary = InvalidRequest("Messages are text frames.", code="invalid_message")
                await self._refuse(binary, None)

    async def _obey(self, text: str) -> bool:
        """Carry out one command; True when it ended the connection."""
        stream_id: str | None = None
        try:
            match decode_client_event(text.encode()):
                case CreateOnStream() as create:
                    stream_id = create.stream_id
                    self._start(create)
                case CancelResponse(response_id=response_id):
                    await self._services.cancel(self._principal, response_id)
                case CloseSession():
                    await self._close_session()
                    return True
        except _Gone:
            raise
        except Exception as error:  # noqa: BLE001 - a command must not end the connection
            await self._refuse(error, stream_id)
        return False

    def _start(self, create: CreateOnStream) -> None:
        if len(self._in_flight) >= self._services.settings.max_in_flight:
            raise RateLimited(
                f"{len(self._in_flight)} responses are in flight on this connection already.",
                code="websocket_stream_limit_reached",
            )
        self._spawn(self._turn(create))

    async def _turn(self, create: CreateOnStream) -> None:
        async with self._lanes[create.stream_id]:
            try:
                live = await self._say(create)
                await self._follow(live.started.response_id, create.stream_id)
            except _Gone:
                raise
            except Exception as error:  # noqa: BLE001 - the edge of a task
                await self._refuse(error, create.stream_id)

    async def _say(self, create: CreateOnStream) -> LiveResponse:
        opens_session, self._announced = not self._announced, True
        try:
            started = await self._services.gate().admit(
                self._principal,
                create.request,
                self._session_id,
                unstored=self._session.remembered if self._session else {},
                opens_session=opens_session,
            )
            session = await self._open_session()
            return await self._hub.say(session, started)
        except Exception:
            self._announced = not opens_session
            raise

    async def _open_session(self) -> LiveSession:
        if self._session is None:
            session = await self._hub.sessions.open(self._session_id, self._principal)
            self._attach(session)
        assert self._session is not None
        return self._session

    def _attach(self, session: LiveSession) -> None:
        if self._session is None:
            self._session, self._session_id = session, session.id
            self._attachment.enter_context(self._hub.sessions.connection(session))

    async def _close_session(self) -> None:
        """Stop what is live, let its readers see the end, hand out the receipt, and close."""
        session = await self._open_session()
        record = await self._hub.sessions.close(session.id, self._principal)
        await asyncio.gather(*self._in_flight, return_exceptions=True)
        usage = await self._services.store.session_usage(record.account_id, record.id)
        await self._send(encode_session_closed(record, usage, self._sequence + 1).decode())
        await self._close(NORMAL_CLOSURE, "session closed")

    async def _rejoin(self) -> None:
        """A client that reconnects names its session, and the response that it was reading."""
        query = self._socket.query_params
        try:
            if session_id := SESSION_ID.read(query):
                self._attach(await self._hub.sessions.join(session_id, self._principal))
                self._announced = True
            if response_id := RESPONSE_ID.read(query):
                after = STARTING_AFTER.read(query)
                await self._services.require(self._principal, response_id)
                self._spawn(self._resume(response_id, after))
        except _Gone:
            raise
        except Exception as error:  # noqa: BLE001 - as for any command
            await self._refuse(error, None)

    async def _resume(self, response_id: str, after: int) -> None:
        try:
            await self._follow(response_id, None, after)
        except _Gone:
            raise
        except Exception as error:  # noqa: BLE001 - the edge of a task
            await self._refuse(error, None)

    # -- events ----------------------------------------------------------------------------

    async def _follow(self, response_id: str, stream_id: str | None, after: int = -1) -> None:
        async for batch in self._hub.follow(response_id, after):
            for event in batch:
                await self._send(frames.websocket(event, stream_id))
            self._sequence = batch[-1].sequence

    async def _refuse(self, error: Exception, stream_id: str | None) -> None:
        refusal = to_api_error(error)
        await self._send(encode_websocket(refusal, stream_id=stream_id).decode())

    async def _send(self, text: str) -> None:
        """Send one frame. A client that takes nothing for too long is dropped; its log is kept.

        Raises:
            _Gone: the client is not there, or was dropped.
        """
        try:
            async with asyncio.timeout(self._services.settings.send_timeout_s):
                await self._socket.send({"type": "websocket.send", "text": text})
        except (TimeoutError, RuntimeError, OSError) as error:
            # Starlette raises RuntimeError for a send after the close.
            raise _Gone from error

    async def _close(self, code: int, reason: str) -> None:
        with contextlib.suppress(RuntimeError, OSError, TimeoutError):
            # A client that takes nothing does not take this either.
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._socket.close(code, reason)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._tasks.create_task(work)
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)
