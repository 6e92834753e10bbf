"""Responses over a WebSocket: a connection is a session, its commands run in lanes.

Commands with the same `stream_id` (or none) run one after another, different ones side by side.
A refused command is answered with an error event, and the connection stays usable.
"""

import asyncio
import contextlib
from collections.abc import Coroutine

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketState

from kosmosx_stream.access.auth import (
    SUBPROTOCOL,
    authenticate,
    check_origin,
    key_refusal,
    offered_subprotocols,
    require_scope,
)
from kosmosx_stream.key_watch import Ended
from kosmosx_stream.protocol.client_events import (
    CancelResponse,
    CloseSession,
    CreateOnStream,
    SteerResponse,
    decode_client_event,
)
from kosmosx_stream.protocol.errors import (
    Conflict,
    HandedOver,
    InvalidRequest,
    encode_http,
    encode_websocket,
)
from kosmosx_stream.protocol.sessions import encode_session_closed
from kosmosx_stream.services import Services
from kosmosx_stream.telemetry.tracing import parent_of
from kosmosx_stream.transports.client_socket import (
    GOING_AWAY,
    NORMAL_CLOSURE,
    POLICY_VIOLATION,
    SERVICE_RESTART,
    TRY_AGAIN_LATER,
    ClientSocket,
    Gone,
)
from kosmosx_stream.transports.failures import to_api_error
from kosmosx_stream.transports.lanes import Lanes
from kosmosx_stream.transports.query import STARTING_AFTER, Text
from kosmosx_stream.transports.socket_session import SocketSession
from kosmosx_stream.transports.socket_turns import SocketTurns
from metering.authenticator import Principal
from metering.keys import InvalidKey

SESSION_ID = Text(name="session_id", says="The session that a client comes back to.")
RESPONSE_ID = Text(name="response_id", says="The response that it was reading.")
QUERY = (SESSION_ID, RESPONSE_ID, STARTING_AFTER)


class ResponsesSocket:
    """`GET /v1/responses`, upgraded.

    An ASGI app: what Starlette puts around plain functions would stay for as long as a connection.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        services: Services = socket.app.state.services
        try:
            check_origin(socket, services.settings.allowed_origins)
            principal = await authenticate(socket, services.authenticator, services.client_secrets)
            require_scope(principal, "generate")
            with services.sockets.open(principal), services.hub.drain.guest() as leaving:
                offered = offered_subprotocols(socket)
                await socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
                await Connection(socket, services, principal).run(leaving)
        except Exception as error:
            if socket.application_state is not WebSocketState.CONNECTING:
                raise
            refusal = to_api_error(error)
            services.telemetry.meters.refused(refusal.code, "websocket")
            body = encode_http(refusal)
            await socket.send_denial_response(
                Response(body, refusal.status, media_type="application/json")
            )


class Connection:
    """One WebSocket and the session that it is."""

    def __init__(self, socket: WebSocket, services: Services, principal: Principal) -> None:
        settings = services.settings
        self._query = socket.query_params
        self._socket = ClientSocket(
            socket, services.telemetry.meters, send_timeout_s=settings.send_timeout_s
        )
        self._services = services
        self._principal = principal
        self._session = SocketSession(services.hub.sessions, principal)
        self._turns = SocketTurns(
            self._socket, self._session, services, principal, parent_of(socket.headers)
        )
        self._lanes: Lanes[CreateOnStream] = Lanes(
            max_named=settings.max_lanes,
            max_in_flight=settings.max_in_flight,
            max_waiting=settings.max_waiting,
            max_waiting_bytes=settings.max_request_bytes,
        )
        self._tasks: asyncio.TaskGroup
        self._running: set[asyncio.Task[None]] = set()
        """The turns and commands that are under way."""
        self._ends: list[asyncio.Task[None]] = []
        """What is about to end the connection; mostly nothing."""
        self._served = False

    async def run(self, leaving: asyncio.Future[None]) -> None:
        """Serve until the connection ends. What is live then goes on, for a while, without it.

        `leaving`: done when the server goes down.
        """
        max_age_s = self._services.settings.max_connection_s
        with self._session:
            try:
                async with asyncio.timeout(max_age_s), asyncio.TaskGroup() as self._tasks:
                    await self._serve_while_it_may(leaving)
            except* InvalidKey as ended:
                invalid = key_refusal(_first(ended))
                last = encode_websocket(invalid).decode()
                await self._socket.close(POLICY_VIOLATION, invalid.code, last=last)
            except* Gone:
                await self._socket.close(TRY_AGAIN_LATER, "nothing was taken for too long")
            except* HandedOver:
                # RFC 6455 7.1.6: a reason of 123 bytes; this is for the query to come back with.
                await self._socket.close(SERVICE_RESTART, self._turns.cursor or "restart")
            except* TimeoutError:
                limit = _connection_limit(max_age_s)
                # Clients reconnect on this code, as they are to.
                last = encode_websocket(limit).decode()
                await self._socket.close(GOING_AWAY, limit.code, last=last)

    async def _serve_while_it_may(self, leaving: asyncio.Future[None]) -> None:
        """Serve until the client leaves, its key ends, or the server goes down."""
        # Callbacks, not tasks that wait: of those an idle connection has enough with one.
        with self._services.key_watch.watch(self._principal) as key_ended:
            key_ended.add_done_callback(self._lose_key)
            leaving.add_done_callback(self._leave)
            try:
                await self._serve()
            finally:
                leaving.remove_done_callback(self._leave)
        self._served = True
        for task in (*self._ends, *self._running):
            task.cancel()

    def _lose_key(self, ended: Ended) -> None:
        """A connection does not outlive its key."""
        self._end_by(_fail(ended.result()))

    def _leave(self, _: asyncio.Future[None]) -> None:
        """The server goes down."""
        self._end_by(self._see_off())

    def _end_by(self, work: Coroutine[None, None, None]) -> None:
        try:
            task = self._tasks.create_task(work)
        except RuntimeError:  # The connection ends already.
            work.close()
            return
        self._ends.append(task)
        if self._served:
            task.cancel()

    async def _see_off(self) -> None:
        """The connection ends with its turns, or with the drain.

        Raises:
            HandedOver: nothing is under way any more.
        """
        over = self._tasks.create_task(_wait(self._services.hub.drain.over))
        self._ends.append(over)
        while self._running and not over.done():
            await asyncio.wait({over, *self._running}, return_when=asyncio.FIRST_COMPLETED)
        raise HandedOver(self._turns.sequence)

    async def _serve(self) -> None:
        await self._rejoin()
        # A client that came back to its session has said something before.
        settings = self._services.settings
        silence_s = settings.idle_timeout_s
        if not self._session.began:
            silence_s = settings.first_message_timeout_s
        while True:
            try:
                async with asyncio.timeout(silence_s):
                    message = await self._socket.receive()
            except TimeoutError:
                if self._running:
                    continue
                await self._socket.close(POLICY_VIOLATION, "no message arrived in time")
                return
            silence_s = settings.idle_timeout_s
            if isinstance(message, bytes):
                await self._socket.refuse(_not_text())
            elif message is None or await self._obey(message):
                return

    # -- commands --------------------------------------------------------------------------

    async def _obey(self, message: str) -> bool:
        """Carry out one command; True when it ended the connection."""
        stream_id: str | None = None
        try:
            match decode_client_event(data := message.encode()):
                case CreateOnStream() as create:
                    stream_id = create.stream_id
                    await self._services.authenticator.confirm(self._principal)
                    self._begin(self._lanes.enter(stream_id, create, len(data)))
                case SteerResponse() as steer:
                    await self._turns.steer(steer)
                case CancelResponse() as cancel:
                    await self._until_room()
                    self._spawn(self._cancel(cancel))
                case CloseSession():
                    await self._close_session()
                    return True
        except (Gone, InvalidKey):
            raise
        except Exception as error:  # noqa: BLE001 - a command must not end the connection
            await self._socket.refuse(error, stream_id)
        return False

    async def _until_room(self) -> None:
        """Hear nothing more of a client for whom too much is under way already."""
        while len(self._running) > 2 * self._services.settings.max_in_flight:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)

    def _begin(self, creates: list[CreateOnStream]) -> None:
        for create in creates:
            self._spawn(self._turn(create))

    async def _turn(self, create: CreateOnStream) -> None:
        await self._turns.run(create)
        self._begin(self._lanes.leave(create.stream_id))

    async def _cancel(self, cancel: CancelResponse) -> None:
        try:
            await self._services.cancel(self._principal, cancel.response_id)
        except Exception as error:  # noqa: BLE001 - the edge of a task
            await self._socket.refuse(error, cancel.stream_id)

    async def _close_session(self) -> None:
        """Stop what is live, let its readers see the end, hand out the receipt, and close."""
        session = await self._session.open()
        record = await self._services.hub.sessions.close(session.id, self._principal)
        while self._running:  # Those that waited in their lanes are refused now.
            await asyncio.wait(self._running)
        usage = await self._services.store.ledger.session_usage(record.account_id, record.id)
        await self._socket.send(
            encode_session_closed(
                record, usage, self._services.signer, self._turns.sequence + 1
            ).decode()
        )
        await self._socket.close(NORMAL_CLOSURE, "session closed")

    async def _rejoin(self) -> None:
        """A client that reconnects names its session, and the response that it was reading."""
        try:
            response_id = RESPONSE_ID.read(self._query)
            if session_id := SESSION_ID.read(self._query):
                # What was said in a session can be read after its end; more goes into a new one.
                with contextlib.suppress(*((Conflict,) if response_id else ())):
                    await self._session.rejoin(session_id)
            if response_id:
                after = STARTING_AFTER.read(self._query)
                require_scope(self._principal, "read")
                await self._services.require(self._principal, response_id)
                self._spawn(self._turns.resume(response_id, after))
        except Gone:
            raise
        except Exception as error:  # noqa: BLE001 - as for any command
            await self._socket.refuse(error)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


async def _fail(error: InvalidKey) -> None:
    """What is to raise it among a connection's tasks.

    Raises:
        InvalidKey: always.
    """
    raise error


def _first(group: ExceptionGroup[InvalidKey]) -> InvalidKey:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error


def _not_text() -> InvalidRequest:
    return InvalidRequest("Messages are text frames.", code="invalid_message")


def _connection_limit(max_age_s: float) -> InvalidRequest:
    return InvalidRequest(
        f"This WebSocket connection has reached its age limit ({max_age_s / 60:g} minutes). "
        "Open another one to go on.",
        code="websocket_connection_limit_reached",
    )
