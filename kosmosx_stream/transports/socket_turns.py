"""The responses of one WebSocket: said, followed to their ends, and what their ends lead to."""

import contextlib
from collections.abc import Sequence

from msgspec.structs import replace
from opentelemetry.trace import Span, SpanKind

from conversation.entries import Ended, Entry
from conversation.ports import Lease
from kosmosx_stream.protocol import frames
from kosmosx_stream.protocol.client_events import (
    IDEMPOTENCY_KEY,
    CreateOnStream,
    SteerResponse,
)
from kosmosx_stream.protocol.errors import Conflict, HandedOver, RateLimited, Unavailable
from kosmosx_stream.protocol.items import FunctionCallItem
from kosmosx_stream.protocol.rate_limits import RateLimit, encode_updated
from kosmosx_stream.protocol.requests import CreateResponse
from kosmosx_stream.protocol.steering import SteerError
from kosmosx_stream.services import Services
from kosmosx_stream.telemetry import names
from kosmosx_stream.telemetry.tracing import fail
from kosmosx_stream.transports.client_socket import ClientSocket, Gone
from kosmosx_stream.transports.failures import to_api_error
from kosmosx_stream.transports.repeating import reserved_on_socket
from kosmosx_stream.transports.socket_session import SocketSession
from kosmosx_stream.transports.socket_steering import (
    Steers,
    call_cut_off,
    not_under_way,
    refuse_steer,
    response_stopped,
)
from kosmosx_stream.turns.live_response import LiveResponse
from metering.authenticator import Principal


class SocketTurn:
    """A response that this connection asked for."""

    def __init__(self, socket: ClientSocket, create: CreateOnStream, live: LiveResponse) -> None:
        self.id = live.started.response_id
        self.create = create
        self.steers = Steers(socket, self.id, create.stream_id)
        self.last_event = ""

    def successor(self) -> CreateOnStream:
        """What was said into the middle of the answer, to be answered from there."""
        request = replace(
            self.create.request, previous_response_id=self.id, messages=self.steers.messages
        )
        return replace(self.create, request=request, idempotency_key=None)


class SocketTurns:
    """Runs turns for one connection; lanes and order are its caller's."""

    def __init__(
        self,
        socket: ClientSocket,
        session: SocketSession,
        services: Services,
        principal: Principal,
        trace: Span,
    ) -> None:
        """`trace`: the span that the client's handshake was part of."""
        self._trace = trace
        self._socket = socket
        self._session = session
        self._services = services
        self._principal = principal
        self._under_way: dict[str, SocketTurn] = {}
        self._cursors: dict[str, int] = {}
        """The last event that was sent of each response that is not at its end."""
        self._newest: dict[str | None, str] = {}
        """The last response of each lane."""
        self._queued: dict[str | None, Steers] = {}
        """Input of each lane that waits for what called functions give."""
        self.sequence = -1
        """The number of the last event that was sent."""

    @property
    def cursor(self) -> str | None:
        """The query with which a client goes on reading the newest response under way."""
        for response_id, sequence in reversed(self._cursors.items()):
            return f"response_id={response_id}&starting_after={sequence}"
        return None

    async def run(self, create: CreateOnStream) -> None:
        """Say something and send the answer, then the answers to what was said into it.

        Raises:
            Gone: the client is not there any more.
            HandedOver: the answer goes on elsewhere.
        """
        said_into: Steers | None = None
        while True:
            with self._services.telemetry.traces.span(
                names.SPAN_SOCKET, parent=self._trace, kind=SpanKind.SERVER
            ) as span:
                turn = await self._run_one(create, said_into, span)
            if turn is None or not turn.steers or not await self._goes_on(turn):
                return
            create, said_into = turn.successor(), turn.steers

    async def _run_one(
        self, create: CreateOnStream, said_into: Steers | None, span: Span
    ) -> SocketTurn | None:
        """Say it and send its answer; None if it was refused, or said before."""
        try:
            begun = await self._begin(create)
        except Exception as error:  # noqa: BLE001 - the edge of a task
            fail(span, to_api_error(error).code)
            self._evict(create)
            await self._refuse(error, create, said_into)
            return None
        if isinstance(begun, str):
            await self.resume(begun, -1, create.stream_id)
            return None
        turn = SocketTurn(self._socket, create, begun)
        await self._follow(turn)
        return turn

    async def resume(self, response_id: str, after: int, lane: str | None = None) -> None:
        """Send a response from an event on, to a client that came back for it.

        Raises:
            Gone: the client is not there any more.
            HandedOver: it goes on elsewhere.
        """
        try:
            await self._send_all(response_id, after, lane)
        except (Gone, HandedOver):
            raise
        except Exception as error:  # noqa: BLE001 - the edge of a task
            await self._socket.refuse(error, lane)
        self._cursors.pop(response_id, None)

    async def steer(self, steer: SteerResponse) -> None:
        """Say something into the middle of an answer.

        Raises:
            Gone: the client is not there any more.
        """
        turn = self._under_way.get(steer.previous_response_id)
        if turn is None:
            error = not_under_way(steer.previous_response_id, self._newest.values())
            await refuse_steer(self._socket, steer, error)
            return
        refusal = turn.steers.refusal(steer, turn.create.request)
        if refusal is not None:
            lane, sequence = turn.create.stream_id, turn.steers.sequence
            await refuse_steer(self._socket, steer, refusal, sequence=sequence, lane=lane)
            return
        if (found := self._services.hub.live(turn.id)) is not None:
            self._services.hub.steer(found[0], turn.id)
        await turn.steers.accept(steer)

    async def _goes_on(self, turn: SocketTurn) -> bool:
        """Whether what was said into it is to be answered now; else it waits, or goes back."""
        entries: Sequence[Entry] = ()
        with contextlib.suppress(Unavailable):
            entries = await self._services.responses.entries(turn.id)
        match entries:
            case [*_, Ended(reason="cancelled" | "error")] | []:
                await turn.steers.give_back(response_stopped())
                return False
        output = self._services.responses.response(entries).output
        calls = [item for item in output if isinstance(item, FunctionCallItem)]
        if any(call.status == "incomplete" for call in calls):
            await turn.steers.give_back(call_cut_off())
        elif calls:
            await self._queue(turn.steers, calls)
        return not calls

    async def _queue(self, steers: Steers, calls: Sequence[FunctionCallItem]) -> None:
        former = self._queued.pop(steers.lane, None)
        self._queued[steers.lane] = steers
        if former is not None:  # Nobody went on from there.
            await former.give_back(response_stopped())
        await steers.wait_for(calls)

    async def _begin(self, create: CreateOnStream) -> LiveResponse | str:
        """Say it; or find what was said to its key before, and be that one's session."""
        asked = reserved_on_socket(create, self._principal)
        async with self._services.reservations.held(asked, IDEMPOTENCY_KEY) as taken:
            if not isinstance(taken, str):
                return await self._say_after_queued(create, taken)
        if not self._session.began:
            with contextlib.suppress(Conflict):  # It is closed: more goes into a new one.
                await self._session.rejoin(await self._services.responses.session_id(taken))
        self._newest[create.stream_id] = taken
        return taken

    async def _say_after_queued(
        self, create: CreateOnStream, reserved: Lease | None
    ) -> LiveResponse:
        """Say it, with the input before it that waited in its lane for it."""
        request, queued = create.request, self._queued.get(create.stream_id)
        if queued is None or queued.response_id != request.previous_response_id:
            return await self._say(request, reserved)
        said = (*queued.messages, *request.messages)
        live = await self._say(replace(request, messages=said), reserved)
        del self._queued[create.stream_id]
        return live

    async def _say(self, request: CreateResponse, reserved: Lease | None) -> LiveResponse:
        with self._session.announced() as opens_session:
            with self._services.telemetry.traces.span(names.SPAN_ADMISSION):
                started = await self._services.gate(request.model).admit(
                    self._principal,
                    request,
                    self._session.id,
                    unstored=self._session.unstored,
                    response_id=reserved.response_id if reserved else None,
                    opens_session=opens_session,
                )
            if not self._session.began:
                await self._services.plans.check_sessions(self._principal.account_id)
            await self._tell_limits(await self._services.plans.take(self._principal, started))
            session = await self._session.open()
            # From here on it may have begun, and this connection may end, before anybody knows.
            self._cursors[started.response_id] = -1
            try:
                cheaper = self._services.cheaper(self._principal, request, self._session.unstored)
                return await self._services.hub.say(session, started, reserved, cheaper=cheaper)
            except Exception:
                del self._cursors[started.response_id]
                raise

    async def _follow(self, turn: SocketTurn) -> None:
        lane = turn.create.stream_id
        self._newest[lane] = turn.id
        self._under_way[turn.id] = turn
        try:
            await self._send_all(turn.id, -1, lane, turn)
        except (Gone, HandedOver):
            raise
        except Exception as error:  # noqa: BLE001 - the edge of a task
            turn.last_event = "response.failed"
            await self._socket.refuse(error, lane)
        finally:
            del self._under_way[turn.id]
        self._cursors.pop(turn.id, None)
        if turn.last_event == "response.failed":
            self._evict(turn.create)

    async def _send_all(
        self, response_id: str, after: int, lane: str | None, turn: SocketTurn | None = None
    ) -> None:
        self._cursors[response_id] = after
        async for batch in self._services.hub.follow(response_id, after):
            for event in batch:
                await self._socket.send(frames.websocket(event, lane))
                self.sequence = self._cursors[response_id] = event.sequence
                if turn is not None:
                    turn.last_event, turn.steers.sequence = event.type, event.sequence

    async def _refuse(
        self, error: Exception, create: CreateOnStream, said_into: Steers | None
    ) -> None:
        """Tell why there is no response; input that steered its predecessor goes back."""
        if isinstance(error, RateLimited):
            await self._tell_limits(error.limits)
        if said_into is None:
            await self._socket.refuse(error, create.stream_id)
            return
        refusal = to_api_error(error)
        self._services.telemetry.meters.refused(refusal.code, "websocket")
        message = refusal.message
        await said_into.give_back(SteerError(code="successor_creation_failed", message=message))

    async def _tell_limits(self, limits: tuple[RateLimit, ...]) -> None:
        if limits:
            await self._socket.send(encode_updated(limits).decode())

    def _evict(self, create: CreateOnStream) -> None:
        """A continuation failed: its lane cannot go on from there, but another lane still can."""
        lane, parent_id = create.stream_id, create.request.previous_response_id
        elsewhere = (newest for other, newest in self._newest.items() if other != lane)
        if parent_id is not None and parent_id not in elsewhere:
            self._session.unstored.evict(parent_id)
