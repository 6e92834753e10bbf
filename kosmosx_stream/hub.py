"""The live turns of this instance: carries out what the sessions decide.

A turn's life: 1. `say` takes a lease, its conversation with it, and publishes `Started`. 2. The
turn's task pulls deltas out of the engine and hands them to the session. 3. What the session
publishes goes through the group commit, and only then to readers. 4. After the last entry the turn
is settled in the ledger, its lease is released, and its readers get the end. 5. A turn whose owner
died before that is adopted by the first instance whose sweeper sees it, and goes on after the last
token in its log.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence

from conversation.entries import EndReason, Entry, Started
from conversation.ports import (
    Attendance,
    Claim,
    Conflict,
    EventLog,
    Fenced,
    Lease,
    LogUnavailable,
    NotFound,
)
from kosmosx_stream.chat_format import ChatFormat
from kosmosx_stream.committer import Committer, Verdict
from kosmosx_stream.ending import Ending
from kosmosx_stream.engines.port import Delta
from kosmosx_stream.heartbeat import Heartbeat
from kosmosx_stream.live_response import LiveResponse, LogLost
from kosmosx_stream.live_session import LiveSession
from kosmosx_stream.lost_turn import read_lost_turn
from kosmosx_stream.protocol import errors
from kosmosx_stream.protocol.fold import Projection, Unseen
from kosmosx_stream.protocol.frames import Event
from kosmosx_stream.protocol.projection import Projector
from kosmosx_stream.response_log import ResponseLog
from kosmosx_stream.runner import Runner
from kosmosx_stream.session import (
    Abort,
    Close,
    Effect,
    Generate,
    Publish,
    Remember,
    SessionClosed,
    Settle,
)
from kosmosx_stream.sessions import Sessions, attended_elsewhere, session_closed
from kosmosx_stream.settings import Settings
from metering import store as books

logger = logging.getLogger(__name__)


class Hub:
    """Owns every task of every live turn. Use inside `running`."""

    def __init__(
        self,
        *,
        log: EventLog,
        attendance: Attendance,
        store: books.Store,
        responses: ResponseLog,
        settings: Settings,
    ) -> None:
        self._log = log
        self._attendance = attendance
        self._store = store
        self._responses = responses
        self._settings = settings
        self._committer = Committer(log, settings.lease_ttl_s)
        self.sessions = Sessions(
            store,
            self._apply,
            attendance,
            self._spawn,
            grace_s=settings.disconnect_grace_s,
        )
        self._live: dict[str, LiveResponse] = {}
        self.heartbeat = Heartbeat(self._committer, self.sessions, self._live.values)
        self.ending = Ending(
            log=log, store=store, responses=responses, lease_ttl_s=settings.lease_ttl_s
        )
        self._turn_tasks: dict[str, asyncio.Task[None]] = {}
        self._runner: Runner | None = None
        self._format: ChatFormat | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self.draining = False
        self._tasks: asyncio.TaskGroup

    # -- life ------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the committer and the heartbeats; on leaving, whatever is live is stopped."""
        async with asyncio.TaskGroup() as outer:
            committer = outer.create_task(self._committer.run())
            async with asyncio.TaskGroup() as self._tasks:
                beats = [self._tasks.create_task(beat) for beat in self._heartbeats()]
                try:
                    yield
                finally:
                    await self.sessions.close_all("shutdown", self._settings.settle_timeout_s)
                    for beat in beats:
                        beat.cancel()
            committer.cancel()

    def serve_with(self, runner: Runner, chat_format: ChatFormat) -> None:
        """The engine is up: turns can start."""
        self._runner, self._format = runner, chat_format
        self.ending.chat_format = chat_format

    async def drain(self) -> None:
        """Take no new turns; let the live ones finish within the deadline; close the sessions.

        What is live after the deadline is handed over: whoever sweeps next goes on with it.
        """
        self.draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_timeout_s):
                await self._idle.wait()
        await self._hand_over(list(self._live.values()))
        await self.sessions.close_all("drain", self._settings.settle_timeout_s)

    async def _hand_over(self, turns: Sequence[LiveResponse]) -> None:
        for live in turns:
            live.lose()
            # It stays open in the books, for its turn's next owner.
            self.sessions.forget(live.started.session_id)
        with contextlib.suppress(LogUnavailable):
            await self._log.renew([live.lease for live in turns], 0)

    # -- turns -----------------------------------------------------------------------------

    async def say(
        self, session: LiveSession, started: Started, reserved: Lease | None = None
    ) -> LiveResponse:
        """Begin a turn; returns once its admission is committed.

        `reserved`: the lease that its `Idempotency-Key` was reserved with.

        Raises:
            Unavailable: no engine yet, draining, or the log cannot be written.
            Conflict: the session is closed, or the conversation is in another turn.
            NotFound: the conversation was deleted meanwhile.
        """
        if self.draining or self._format is None:
            raise errors.Unavailable("The server takes no turns now.", code="server_unavailable")
        try:
            await self._store.touch(session.principal.account_id, session.id, time.time())
            lease = await self._log.acquire(
                started.response_id, self._settings.lease_ttl_s, _claim(started), reserved
            )
        except books.SessionClosed as error:
            raise session_closed(session.id) from error
        except Conflict as error:
            raise errors.conversation_locked() from error
        except NotFound as error:
            raise errors.conversation_not_found(started.conversation_id) from error
        except LogUnavailable as error:
            raise _log_unavailable() from error
        if lease is None:
            raise errors.Conflict("The response is live already.", code="conflict")
        return await self._begin(session, started, lease, self._format)

    @property
    def can_adopt(self) -> bool:
        """Whether a lost turn could go on here."""
        return self._format is not None and not self.draining

    def understands(self, entries: Sequence[Entry]) -> bool:
        """Whether the log's ids are the served model's."""
        assert self._format is not None
        return read_lost_turn(entries).started.tokens in ("", self._format.tokens)

    def adopt(self, lease: Lease, entries: Sequence[Entry]) -> None:
        """Go on with a turn whose owner was lost, after the last token in its log."""
        assert self._format is not None
        turn = read_lost_turn(entries)
        started = turn.started
        session = self.sessions.resume(
            started.session_id, started.account_id, single_turn=started.single_turn
        )
        live = self._hold(session, started, lease, entries)
        effects = session.machine.resume(
            started,
            turn.deltas,
            self._format.decoder(),
            time.time(),
            finish_reason=turn.finish_reason(self._format),
        )
        self._apply(session, effects)
        live.on_unread()

    def cancel(self, session: LiveSession, response_id: str) -> None:
        """Stop a live turn of the session at once."""
        self._stop(session, response_id, "cancelled")

    def steer(self, session: LiveSession, response_id: str) -> None:
        """End a live turn at this token; another one goes on from there."""
        self._stop(session, response_id, "steered")

    def live(self, response_id: str) -> tuple[LiveSession, LiveResponse] | None:
        """A response that is live on this instance, and its session."""
        live = self._live.get(response_id)
        return None if live is None else (self.sessions.get(live.started.session_id), live)

    async def follow(
        self, response_id: str, after: int = -1, projection: Projection = Projector
    ) -> AsyncGenerator[Sequence[Event], None]:
        """Committed events above `after`, to the end, wherever the response lives.

        Raises:
            NotFound: there is no such response.
            Unavailable: the log cannot be reached.
        """
        live = self._live.get(response_id)
        if live is not None:
            try:
                async for batch in live.follow(after, projection):
                    yield batch
            except LogLost as lost:
                after = lost.after
            else:
                return
        async for batch in self._responses.follow(response_id, after, projection):
            yield batch

    async def until_ended(self, response_id: str) -> None:
        """Read a response to its end without looking at it.

        Raises:
            ApiError: as `follow`.
        """
        async with contextlib.aclosing(self.follow(response_id, projection=Unseen)) as events:
            async for _ in events:
                pass

    async def _begin(
        self, session: LiveSession, started: Started, lease: Lease, chat_format: ChatFormat
    ) -> LiveResponse:
        live = self._hold(session, started, lease)
        try:
            verdicts = self._apply(session, session.machine.say(started, chat_format.decoder()))
            await asyncio.shield(verdicts[0])
        except SessionClosed as error:
            self._forget(live)
            await self._log.release(lease)
            raise session_closed(session.id) from error
        except (Fenced, Conflict, LogUnavailable) as error:
            raise _log_unavailable() from error
        return live

    def _hold(
        self,
        session: LiveSession,
        started: Started,
        lease: Lease,
        entries: Sequence[Entry] = (),
    ) -> LiveResponse:
        live = LiveResponse(
            started,
            lease,
            self._committer,
            self._responses.fold,
            on_unread=lambda: self._after_grace(session, live),
            on_lost=lambda: self._give_up(session, live),
            entries=entries,
        )
        self._live[started.response_id] = live
        self._idle.clear()
        return live

    def _start(self, session: LiveSession, started: Started) -> None:
        """Give the turn its task."""
        assert self._runner is not None
        response_id = started.response_id

        def on_delta(delta: Delta) -> list[Verdict]:
            effects = session.machine.delta(
                response_id,
                delta.token_ids,
                time.time(),
                finish_reason=delta.finish_reason,
                cached_tokens=delta.cached_tokens,
            )
            return self._apply(session, effects)

        def on_failure(code: str, message: str) -> None:
            self._stop(session, response_id, "error", code, message)

        running = self._runner.run(
            started, lambda: session.machine.answer_ids(response_id), on_delta, on_failure
        )
        self._turn_tasks[response_id] = self._tasks.create_task(running)

    def _stop(
        self,
        session: LiveSession,
        response_id: str,
        reason: EndReason,
        error_code: str | None = None,
        error_message: str | None = None,
    ) -> None:
        effects = session.machine.stop(
            response_id, reason, time.time(), error_code=error_code, error_message=error_message
        )
        self._apply(session, effects)

    def _after_grace(self, session: LiveSession, live: LiveResponse) -> None:
        """Some time from now, see whether anybody reads."""

        def check() -> None:
            if self._live.get(live.started.response_id) is live:
                self._tasks.create_task(self._stop_if_unread(session, live))

        asyncio.get_running_loop().call_later(self._settings.disconnect_grace_s, check)

    async def _stop_if_unread(self, session: LiveSession, live: LiveResponse) -> None:
        response_id = live.started.response_id
        if live.readers or live.started.background:
            return
        if await attended_elsewhere(self._attendance, response_id):
            self._after_grace(session, live)
        elif not live.readers:
            self._stop(session, response_id, "cancelled")

    def _give_up(self, session: LiveSession, live: LiveResponse) -> None:
        """The log went to another owner, or away: what is committed is settled from there."""
        self._apply(session, session.machine.abandon(live.started.response_id))
        self._forget(live)
        if session.single_turn:
            self.sessions.forget(session.id)

    # -- effects ---------------------------------------------------------------------------

    def _apply(self, session: LiveSession, effects: Sequence[Effect]) -> list[Verdict]:
        """Carry effects out in order; returns the verdicts of what was published."""
        verdicts: list[Verdict] = []
        for effect in effects:
            match effect:
                case Publish():
                    live = self._live[effect.response_id]
                    verdicts.append(live.publish(effect.entry, effect.turn))
                case Generate():
                    self._start(session, effect.started)
                case Abort():
                    self._abort(effect.response_id)
                case Remember():
                    session.remember(effect.turn)
                case Settle():
                    live = self._live[effect.response_id]
                    self._tasks.create_task(self._settle(session, live))
                case Close():
                    self._tasks.create_task(self.sessions.close_books(session, effect.reason))
        return verdicts

    def _abort(self, response_id: str) -> None:
        task = self._turn_tasks.get(response_id)
        if task is not None:
            task.cancel()  # Maybe from within: then it ends at its next step.

    async def _settle(self, session: LiveSession, live: LiveResponse) -> None:
        """After the last entry: the ledger, then the lease, then the readers."""
        if not await live.ended:
            return
        settled = await self._record(live)
        self._apply(session, session.machine.settled(live.started.response_id))
        if session.single_turn:
            self.sessions.end(session, "finished")
            await asyncio.wait([session.closed])
        self._forget(live)
        if session.adopted and session.machine.idle:
            # Its own instance closes it, or whoever finds it idle.
            self.sessions.forget(session.id)
        if settled:
            # Before the readers: whoever sees that a turn failed may try again at once.
            with contextlib.suppress(LogUnavailable):
                await self._responses.release(live.lease, live.started)
        live.finish()

    async def _record(self, live: LiveResponse) -> bool:
        try:
            async with asyncio.timeout(self._settings.settle_timeout_s):
                await self._responses.record(live.entries)
        except Exception:
            # The lease stays: when it lapses, a sweeper settles the response from its log.
            logger.exception("could not settle %s", live.started.response_id)
            return False
        return True

    def _forget(self, live: LiveResponse) -> None:
        self._live.pop(live.started.response_id, None)
        self._turn_tasks.pop(live.started.response_id, None)
        if not self._live:
            self._idle.set()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.create_task(work)

    # -- time ------------------------------------------------------------------------------

    def _heartbeats(self) -> Sequence[Coroutine[None, None, None]]:
        settings = self._settings
        return (
            self.heartbeat.renew_leases(settings.lease_ttl_s),
            self.heartbeat.touch_sessions(settings.session_idle_s),
            self.heartbeat.note_connections(settings.disconnect_grace_s),
        )


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
