"""What the server can do with turns: begin one, stop one, read one, wherever it is live.

A turn's life: 1. `say` takes a lease, its conversation with it, and publishes `Started`. 2. The
engine delivers deltas, which are handed to the session. 3. What the session publishes goes through
the group commit, and only then to readers. 4. After the last entry the turn is settled in the
ledger, its lease is released, and its readers get the end (`live_turns.py`). 5. A turn whose owner
died before that is adopted by the first instance whose sweeper sees it, and goes on after the last
token in its log (`adoption.py`).
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence

from conversation.entries import Started
from conversation.ports import (
    Attendance,
    Barred,
    Claim,
    Conflict,
    EventLog,
    Fenced,
    Lease,
    LogUnavailable,
    NotFound,
)
from kosmosx_stream.cancelling import end
from kosmosx_stream.limits.spending import Cheaper, Spending
from kosmosx_stream.protocol import errors
from kosmosx_stream.protocol.fold import Projection, Unseen
from kosmosx_stream.protocol.frames import Event
from kosmosx_stream.protocol.projection import Projector
from kosmosx_stream.settings import Settings
from kosmosx_stream.telemetry import names
from kosmosx_stream.telemetry.telemetry import Telemetry
from kosmosx_stream.turns.adoption import Adoption
from kosmosx_stream.turns.draining import Drain
from kosmosx_stream.turns.ending import Ending, Owe
from kosmosx_stream.turns.heartbeat import Heartbeat
from kosmosx_stream.turns.live_response import LiveResponse, LogLost
from kosmosx_stream.turns.live_session import LiveSession
from kosmosx_stream.turns.live_turns import LiveTurns
from kosmosx_stream.turns.models import Models
from kosmosx_stream.turns.response_log import ResponseLog
from kosmosx_stream.turns.session import SessionClosed
from kosmosx_stream.turns.sessions import session_closed
from metering import errors as books
from metering.ledger import Ledger


class Hub:
    """The turns of this instance, and those of others. Use inside `running`."""

    def __init__(
        self,
        *,
        log: EventLog,
        attendance: Attendance,
        ledger: Ledger,
        responses: ResponseLog,
        spending: Spending,
        owe: Owe,
        settings: Settings,
        telemetry: Telemetry,
    ) -> None:
        self._log = log
        self._ledger = ledger
        self._responses = responses
        self._spending = spending
        self._settings = settings
        self._telemetry = telemetry
        self.models = Models()
        self.ending = Ending(
            log=log,
            responses=responses,
            models=self.models,
            owe=owe,
            lease_ttl_s=settings.lease_ttl_s,
        )
        self._turns = LiveTurns(
            log=log,
            attendance=attendance,
            ledger=ledger,
            responses=responses,
            models=self.models,
            ending=self.ending,
            owe=owe,
            settings=settings,
            telemetry=telemetry,
        )
        self.sessions = self._turns.sessions
        self.heartbeat = Heartbeat(self._turns.committer, self.sessions, self._turns.all)
        self.adoption = Adoption(
            log=log,
            responses=responses,
            turns=self._turns,
            models=self.models,
            ending=self.ending,
            lease_ttl_s=settings.lease_ttl_s,
            telemetry=telemetry,
        )
        self.drain = Drain(self._turns, timeout_s=settings.drain_timeout_s)

    # -- life ------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the committer and the heartbeats; on leaving, whatever is live is left to others."""
        async with self._turns.running():
            beats = [self._turns.spawn(beat) for beat in self._heartbeats()]
            try:
                yield
            finally:
                await self.drain.hand_over()
                await end(*beats)

    def _heartbeats(self) -> Sequence[Coroutine[None, None, None]]:
        settings = self._settings
        return (
            self.heartbeat.renew_leases(settings.lease_ttl_s),
            self.heartbeat.touch_sessions(settings.session_idle_s),
            self.heartbeat.note_connections(settings.disconnect_grace_s),
        )

    @property
    def draining(self) -> bool:
        """Whether this instance is about to leave."""
        return self.drain.began.is_set()

    @property
    def takes_turns(self) -> bool:
        """Whether a turn can begin here, or go on."""
        return self.models.loaded and not self.draining

    @property
    def live_turns(self) -> int:
        """Turns that have begun here and are not settled."""
        return len(self._turns.all())

    @property
    def waiting_turns(self) -> int:
        """Those of them that have no token yet."""
        return sum(live.watch.waiting for live in self._turns.all())

    @property
    def pending_writes(self) -> int:
        """Writes that wait for the next commit."""
        return self._turns.committer.pending

    # -- beginning -------------------------------------------------------------------------

    async def say(
        self,
        session: LiveSession,
        started: Started,
        reserved: Lease | None = None,
        cheaper: Cheaper | None = None,
    ) -> LiveResponse:
        """Begin a turn; returns once its admission is committed.

        `reserved`: the lease that its `Idempotency-Key` was reserved with. `cheaper` admits it for
        the cheaper model, if there is one, where the account's budget has ended.

        Raises:
            Unavailable: no engine yet, draining, or the log cannot be written.
            Conflict: the session is closed, or the conversation is in another turn.
            NotFound: the conversation was deleted meanwhile.
            QuotaExceeded: the account's budget has not enough left.
            StoreUnavailable: what is left of the budget cannot be told.
        """
        if not self.takes_turns:
            raise errors.Unavailable("The server takes no turns now.", code="server_unavailable")
        with self._telemetry.traces.span(names.SPAN_LEASE):
            lease, started = await self._take(session, started, reserved, cheaper)
        return await self._begin(session, started, lease)

    async def _take(
        self,
        session: LiveSession,
        started: Started,
        reserved: Lease | None,
        cheaper: Cheaper | None,
    ) -> tuple[Lease, Started]:
        """The turn's lease, and what it may spend."""
        if not started.single_turn:  # Else the session was opened for it just now.
            await self._check_open(session)
        # The books may be slow; the lease is short, and lives on once the turn is held.
        started = await self._spending.set_aside(started, cheaper)
        try:
            return await self._acquire(session, started, reserved), started
        except BaseException:
            await self._spending.give_back(started)
            raise

    async def _check_open(self, session: LiveSession) -> None:
        try:
            await self._ledger.touch(session.principal.account_id, session.id, time.time())
        except books.SessionClosed as error:
            raise session_closed(session.id) from error

    async def _acquire(
        self, session: LiveSession, started: Started, reserved: Lease | None
    ) -> Lease:
        try:
            lease = await self._log.acquire(
                started.response_id,
                self._settings.lease_ttl_s,
                _claim(started),
                reserved,
                session.id,
            )
        except Barred as error:
            raise session_closed(session.id) from error
        except Conflict as error:
            raise errors.conversation_locked() from error
        except NotFound as error:
            raise errors.conversation_not_found(started.conversation_id) from error
        except LogUnavailable as error:
            raise _log_unavailable() from error
        if lease is None:
            raise errors.Conflict("The response is live already.", code="conflict")
        return lease

    async def _begin(self, session: LiveSession, started: Started, lease: Lease) -> LiveResponse:
        watch, started = self._telemetry.begin_turn(started)
        live = self._turns.hold(session, started, lease, watch)
        chat_format = self.models.of(started).chat_format
        try:
            effects = session.machine.say(started, chat_format.decoder())
            self._turns.carry_out(session, effects)
        except SessionClosed as error:
            self._turns.forget(live)
            await self._log.release(lease, session_id=session.id)
            await self._spending.give_back(started)
            raise session_closed(session.id) from error
        lost_by = await asyncio.shield(live.begun)
        if lost_by is None:
            return live
        if isinstance(lost_by, Fenced):  # Most likely by one who closes the session.
            await self._spending.give_back(started)
            await self._check_open(session)
        raise _log_unavailable() from lost_by

    # -- stopping --------------------------------------------------------------------------

    def cancel(self, session: LiveSession, response_id: str) -> None:
        """Stop a live turn of the session at once."""
        self._turns.stop(session, response_id, "cancelled")

    def steer(self, session: LiveSession, response_id: str) -> None:
        """End a live turn as soon as another one can go on from there."""
        self._turns.carry_out(session, session.machine.steer(response_id, time.time()))

    # -- reading ---------------------------------------------------------------------------

    def live(self, response_id: str) -> tuple[LiveSession, LiveResponse] | None:
        """A response that is live on this instance, and its session.

        None too for one whose session has closed with it: nothing is left to be done to it here.
        """
        live = self._turns.get(response_id)
        session = None if live is None else self.sessions.get(live.started.session_id)
        return None if live is None or session is None else (session, live)

    async def follow(
        self, response_id: str, after: int = -1, projection: Projection = Projector
    ) -> AsyncGenerator[Sequence[Event], None]:
        """Committed events above `after`, to the end, wherever the response lives.

        Raises:
            NotFound: there is no such response, or it ends before `after`.
            HandedOver: it goes on, and can be read, elsewhere.
            Unavailable: the log cannot be reached.
        """
        set_back = False  # Before anything was read: no harm is done by that.
        while True:
            if not set_back:
                await self._responses.check_not_set_back(response_id, after)
            if (here := self._readable(response_id, after, projection)) is not None:
                events = here.follow(after, projection)
            else:
                if after < 0:
                    set_back = await self._responses.was_set_back(response_id)
                events = self._responses.follow(
                    response_id, after, projection, leaving=self.drain.over
                )
            with contextlib.suppress(LogLost):
                async with contextlib.aclosing(events) as batches:
                    async for batch in batches:
                        yield batch
                        after = batch[-1].sequence
                        if here is None and self._readable(response_id, after, projection):
                            break  # It was adopted here.
                    else:
                        return

    def _readable(
        self, response_id: str, after: int, projection: Projection
    ) -> LiveResponse | None:
        live = self._turns.get(response_id)
        return live if live is not None and live.reaches(after, projection) else None

    async def until_ended(self, response_id: str) -> None:
        """Read a response to its end without looking at it.

        Raises:
            ApiError: as `follow`.
        """
        async with contextlib.aclosing(self.follow(response_id, projection=Unseen)) as events:
            async for _ in events:
                pass


def _claim(started: Started) -> Claim | None:
    if started.conversation_id is None:
        return None
    return Claim(
        account_id=started.account_id,
        conversation_id=started.conversation_id,
        revision=started.conversation_revision,
    )


def _log_unavailable() -> errors.Unavailable:
    return errors.Unavailable("The log cannot be written now. Try again.", code="log_unavailable")
