"""The live turns of this instance: carries out, in order, what their sessions decide.

It knows neither how a turn came here, newly said or taken over from a lost owner, nor who reads it.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Coroutine, Sequence

from conversation.entries import EndReason, Entry, Started
from conversation.ports import Attendance, EventLog, Lease, LogUnavailable
from kosmosx_stream.cancelling import end
from kosmosx_stream.engines.port import Delta
from kosmosx_stream.settings import Settings
from kosmosx_stream.telemetry.telemetry import Telemetry
from kosmosx_stream.telemetry.turn_watch import TurnWatch
from kosmosx_stream.turns.committer import Committer
from kosmosx_stream.turns.elsewhere import Elsewhere
from kosmosx_stream.turns.ending import Ending, Owe
from kosmosx_stream.turns.live_response import LiveResponse
from kosmosx_stream.turns.live_session import LiveSession
from kosmosx_stream.turns.models import Models
from kosmosx_stream.turns.response_log import ResponseLog
from kosmosx_stream.turns.session import (
    FINISHED,
    Abort,
    Close,
    Effect,
    Generate,
    Publish,
    Remember,
    Settle,
)
from kosmosx_stream.turns.sessions import Sessions
from kosmosx_stream.turns.unread import Unread
from metering.ledger import Ledger

logger = logging.getLogger(__name__)


class LiveTurns:
    """Owns every task of every live turn. Use inside `running`."""

    def __init__(
        self,
        *,
        log: EventLog,
        attendance: Attendance,
        ledger: Ledger,
        responses: ResponseLog,
        models: Models,
        ending: Ending,
        owe: Owe,
        settings: Settings,
        telemetry: Telemetry,
    ) -> None:
        self.committer = Committer(log, settings.lease_ttl_s, telemetry.meters)
        self.sessions = Sessions(
            ledger,
            self.carry_out,
            attendance,
            Elsewhere(log, responses, ending),
            self.spawn,
            grace_s=settings.disconnect_grace_s,
        )
        self._models = models
        self._responses = responses
        self._owe = owe
        self._settle_timeout_s = settings.settle_timeout_s
        self._unread = Unread(
            attendance, self.holds, self.spawn, grace_s=settings.disconnect_grace_s
        )
        self._live: dict[str, LiveResponse] = {}
        self._generating: dict[str, asyncio.Task[None]] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: asyncio.TaskGroup

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the committer; on leaving, what was spawned is awaited, and still committed."""
        async with asyncio.TaskGroup() as outer:
            committing = outer.create_task(self.committer.run())
            async with asyncio.TaskGroup() as self._tasks:
                yield
            await end(committing)

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run something for as long as the turns are run."""
        return self._tasks.create_task(work)

    # -- the turns -------------------------------------------------------------------------

    def all(self) -> Sequence[LiveResponse]:
        """Every response that is live here."""
        return list(self._live.values())

    def get(self, response_id: str) -> LiveResponse | None:
        """A response that is live here."""
        return self._live.get(response_id)

    def holds(self, live: LiveResponse) -> bool:
        """Whether it is still live here."""
        return self._live.get(live.started.response_id) is live

    async def until_idle(self) -> None:
        """Wait until nothing is live here."""
        await self._idle.wait()

    def hold(
        self,
        session: LiveSession,
        started: Started,
        lease: Lease,
        watch: TurnWatch,
        entries: Sequence[Entry] = (),
    ) -> LiveResponse:
        """Take a turn in. `entries`: what its log has already."""

        def stop() -> None:
            self.stop(session, started.response_id, "cancelled")

        live = LiveResponse(
            started,
            lease,
            self.committer,
            self._responses.fold,
            watch,
            on_unread=lambda live: self._unread.watch(live, stop),
            on_lost=lambda live: self._give_up(session, live),
            entries=entries,
        )
        self._live[started.response_id] = live
        self._idle.clear()
        return live

    def forget(self, live: LiveResponse) -> None:
        """It is not this instance's any more."""
        live.watch.end(live.entries)
        self._live.pop(live.started.response_id, None)
        self._generating.pop(live.started.response_id, None)
        if not self._live:
            self._idle.set()

    def stop(
        self,
        session: LiveSession,
        response_id: str,
        reason: EndReason,
        error_code: str | None = None,
        error_message: str | None = None,
    ) -> None:
        """End a live turn at once; nothing happens to one that has ended."""
        effects = session.machine.stop(
            response_id, reason, time.time(), error_code=error_code, error_message=error_message
        )
        self.carry_out(session, effects)

    def _give_up(self, session: LiveSession, live: LiveResponse) -> None:
        """The log went to another owner, or away: what is committed is settled from there."""
        self.carry_out(session, session.machine.abandon(live.started.response_id))
        live.watch.lost()
        self._leave(session, live)

    def _leave(self, session: LiveSession, live: LiveResponse) -> None:
        """Forget the turn, and its session if it was here for its turns only."""
        self.forget(live)
        if session.machine.idle and (session.single_turn or session.adopted):
            # If it is open still, its own instance closes it, or whoever settles the turn.
            self.sessions.forget(session.id)

    # -- effects ---------------------------------------------------------------------------

    def carry_out(self, session: LiveSession, effects: Sequence[Effect]) -> None:
        """Carry effects out in order."""
        for effect in effects:
            match effect:
                case Publish():
                    self._live[effect.response_id].publish(effect.entry, effect.turn)
                case Generate():
                    self._generate(session, effect.started)
                case Abort():
                    self._abort(effect.response_id)
                case Remember():
                    session.remember(effect.turn)
                case Settle():
                    self.spawn(self._settle(session, self._live[effect.response_id]))
                case Close():
                    self.spawn(self.sessions.close_books(session, effect.reason))

    def _generate(self, session: LiveSession, started: Started) -> None:
        """Give the turn its task."""
        response_id = started.response_id
        live = self._live[response_id]

        def on_delta(delta: Delta) -> asyncio.Future[None] | None:
            effects = session.machine.delta(
                response_id,
                delta.token_ids,
                time.time(),
                finish_reason=delta.finish_reason,
                cached_tokens=delta.cached_tokens,
            )
            self.carry_out(session, effects)
            return live.until_caught_up()

        def on_failure(code: str, message: str) -> None:
            self.stop(session, response_id, "error", code, message)

        running = self._models.of(started).runner.run(
            started, lambda: session.machine.answer_ids(response_id), on_delta, on_failure
        )
        watched = live.watch.generating(running)
        self._generating[response_id] = self.spawn(watched)

    def _abort(self, response_id: str) -> None:
        task = self._generating.get(response_id)
        if task is not None:
            task.cancel()  # Maybe from within: then it ends at its next step.

    async def _settle(self, session: LiveSession, live: LiveResponse) -> None:
        """After the last entry: the ledger, the lease, the readers, and then the rate limit."""
        if not await live.ended:
            return
        response_id = live.started.response_id
        finishes = session.single_turn and session.machine.finish(response_id)
        settled = await self._record(live, closing=FINISHED if finishes else None)
        self.carry_out(session, session.machine.settled(response_id))
        if finishes:
            self.sessions.finish(session)
        elif session.single_turn and settled and session.machine.idle:
            # It is being closed, or the turns that had joined it ended together.
            self.sessions.end(session, FINISHED)
            await asyncio.wait([session.closed])
        self._leave(session, live)
        if settled:
            # Before the readers: whoever sees that a turn failed may try again at once.
            with contextlib.suppress(LogUnavailable):
                await self._responses.release(live.lease, live.started)
        live.finish()
        if settled:
            await self._owe(live.started, live.output_tokens)

    async def _record(self, live: LiveResponse, closing: str | None) -> bool:
        try:
            async with asyncio.timeout(self._settle_timeout_s):
                with live.watch.settling():
                    await self._responses.record(live.entries, closing=closing)
        except Exception:
            # The lease stays: when it lapses, a sweeper settles the response from its log.
            logger.exception("could not settle %s", live.started.response_id)
            return False
        return True
