"""The sessions of this instance: opened, joined, left and closed, here and in the books."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial

from conversation.ports import Attendance, LogUnavailable
from kosmosx_stream.protocol.errors import Conflict, NotFound, Unavailable
from kosmosx_stream.turns.elsewhere import Elsewhere
from kosmosx_stream.turns.grace import GracePeriods
from kosmosx_stream.turns.live_session import LiveSession
from kosmosx_stream.turns.session import FINISHED, Effect
from metering import errors as books
from metering.authenticator import Principal
from metering.ledger import Ledger, SessionRecord

logger = logging.getLogger(__name__)

CarryOut = Callable[[LiveSession, Sequence[Effect]], object]
"""Carries out what a session's machine decided."""


Spawn = Callable[[Coroutine[None, None, None]], object]
"""Runs something in a task of its own."""


class InUseElsewhere(Exception):
    """The session has a turn on another instance, and is that one's to close."""


class Sessions:
    """A registry of live sessions over the books."""

    def __init__(
        self,
        ledger: Ledger,
        carry_out: CarryOut,
        attendance: Attendance,
        elsewhere: Elsewhere,
        spawn: Spawn,
        *,
        grace_s: float,
    ) -> None:
        """`grace_s`: how long a session outlives its last connection."""
        self._spawn = spawn
        self._ledger = ledger
        self._attendance = attendance
        self._elsewhere = elsewhere
        self._carry_out = carry_out
        self._grace_s = grace_s
        self._grace = GracePeriods(grace_s)
        self._live: dict[str, LiveSession] = {}

    @property
    def active(self) -> int:
        """How many are open on this instance."""
        return len(self._live)

    async def open(
        self, session_id: str, principal: Principal, *, single_turn: bool = False
    ) -> LiveSession:
        """Open a session here and in the books."""
        await self._ledger.open_session(
            session_id, principal.account_id, principal.key_id, time.time()
        )
        return self._take_up(session_id, principal, single_turn=single_turn)

    async def join(self, session_id: str, principal: Principal) -> LiveSession:
        """An open session of this account, live here or taken up from the books.

        Raises:
            NotFound: no such session in this account.
            Conflict: the session is closed.
        """
        try:
            record = await self._ledger.session(principal.account_id, session_id)
        except books.NotFound as error:
            raise session_not_found(session_id) from error
        if record.state == "closed":
            raise session_closed(session_id)
        session = self._take_up(session_id, principal)
        if not session.machine.open:
            raise session_closed(session_id)
        session.adopted = False
        return session

    def resume(self, session_id: str, account_id: str, *, single_turn: bool) -> LiveSession:
        """The session of a turn that is taken over from a lost owner."""
        known = session_id in self._live
        principal = Principal(account_id, key_id=None)
        session = self._take_up(session_id, principal, single_turn=single_turn)
        session.adopted = session.adopted or not known
        if not known:
            self._spawn(self._recall_key(session))
        return session

    def get(self, session_id: str) -> LiveSession | None:
        """A session that is live here."""
        return self._live.get(session_id)

    @contextlib.contextmanager
    def connection(self, session: LiveSession) -> Iterator[None]:
        """A connection that is the session: some time after the last one ended, it closes."""
        session.connections += 1
        self._spawn(self._note(session))
        try:
            yield
        finally:
            session.connections -= 1
            if not session.connections:
                session.unstored.clear()
                self._after_grace(session)

    async def close(self, session_id: str, principal: Principal) -> SessionRecord:
        """Stop the session's turns on all instances, settle them, and return the closed books.

        Raises:
            metering.errors.NotFound: no such session in this account.
            Unavailable, LogUnavailable: not all of its turns could be ended.
        """
        record = await self._ledger.session(principal.account_id, session_id)
        if record.state == "closed":
            return record
        session = self._live.get(session_id)
        await self._elsewhere.end(session_id, session.machine.holds if session else _nothing)
        if session is not None:
            self.end(session, "client")
            try:
                if (closed := await asyncio.shield(session.closed)) is not None:
                    return closed
            except InUseElsewhere:  # What it had here was taken from it meanwhile.
                await self._elsewhere.end(session_id, _nothing)
        return await self._ledger.close_session(
            principal.account_id, session_id, time.time(), "client"
        )

    async def note_connected(self) -> None:
        """Tell other instances which sessions are connected here.

        Raises:
            LogUnavailable: they cannot be told.
        """
        connected = [session.id for session in self._live.values() if session.connections]
        await self._attendance.note(connected, self._grace_s)

    async def touch_used(self) -> None:
        """Tell the books which sessions are in use here; one that was closed elsewhere ends.

        Raises:
            metering.errors.StoreUnavailable: the books cannot be reached.
        """
        for session in [session for session in self._live.values() if session.in_use]:
            try:
                await self._ledger.touch(session.principal.account_id, session.id, time.time())
            except books.SessionClosed:
                self.end(session, "client")

    async def close_idle(self, record: SessionRecord, before: float) -> None:
        """Close a session that the books call idle, unless it has a turn, here or anywhere.

        One that was lost, and that nobody could take over for so long, is waited for as well.
        """
        session = self._live.get(record.id)
        if session is None:
            if await self._may_go_on(record.id):
                return
            await self._ledger.close_session(
                record.account_id, record.id, time.time(), "idle", idle_before=before
            )
        elif session.in_use:
            await self._ledger.touch(record.account_id, record.id, time.time())
        else:
            self.end(session, "idle")

    def openers(self) -> set[tuple[str, str | None]]:
        """Accounts and keys that opened, or joined first, what is live here."""
        principals = [session.principal for session in self._live.values()]
        return {(principal.account_id, principal.key_id) for principal in principals}

    def revoke(self, account_id: str, key_id: str | None) -> None:
        """End what this key opened, or joined first, here; it is settled and billed."""
        for session in list(self._live.values()):
            principal = session.principal
            if (principal.account_id, principal.key_id) == (account_id, key_id):
                self.end(session, "revoked")

    def end(self, session: LiveSession, reason: str) -> None:
        """Have the session close as soon as its turns are settled."""
        self._carry_out(session, session.machine.close(reason, time.time()))

    async def close_books(self, session: LiveSession, reason: str) -> None:
        """The session's machine is done: write the receipt, unless another instance goes on."""
        try:
            record = await self._receipt(session, reason)
        except Exception as error:
            # It stays open in the books, until a sweeper finds it idle.
            if not isinstance(error, InUseElsewhere):
                logger.exception("could not close session %s", session.id)
            session.closed.set_exception(error)
            session.closed.exception()  # Whether anybody waits for it or not.
        else:
            session.closed.set_result(record)
        self.forget(session.id)

    async def _receipt(self, session: LiveSession, reason: str) -> SessionRecord:
        if reason != FINISHED and await self._elsewhere.goes_on(session.id):
            raise InUseElsewhere
        account_id = session.principal.account_id
        return await self._ledger.close_session(account_id, session.id, time.time(), reason)

    def finish(self, session: LiveSession) -> None:
        """It is over with the turn that it was opened for; the books know the rest."""
        session.closed.set_result(None)
        self.forget(session.id)

    def forget(self, session_id: str) -> None:
        """It is not this instance's any more."""
        self._live.pop(session_id, None)

    def forget_all(self) -> None:
        """This instance leaves: its sessions stay open in the books, for others."""
        self._live.clear()

    async def _may_go_on(self, session_id: str) -> bool:
        """Whether another instance has a turn of it, or had; as long as nobody can tell, it may."""
        try:
            return await self._elsewhere.goes_on(session_id)
        except (Unavailable, LogUnavailable):
            return True

    async def _recall_key(self, session: LiveSession) -> None:
        """Whose session it is: it ends with the key that opened it, here as well."""
        account_id = session.principal.account_id
        with contextlib.suppress(books.NotFound, books.StoreUnavailable):
            record = await self._ledger.session(account_id, session.id)
            session.principal = Principal(account_id, record.key_id)

    def _take_up(
        self, session_id: str, principal: Principal, *, single_turn: bool = False
    ) -> LiveSession:
        if session_id not in self._live:
            self._live[session_id] = LiveSession(session_id, principal, single_turn=single_turn)
        return self._live[session_id]

    def _after_grace(self, session: LiveSession) -> None:
        """Some time after the last connection ended, see whether anybody came back."""
        self._grace.begin(session.id, partial(self._check, session))

    async def _note(self, session: LiveSession) -> None:
        """Tell at once: the instance that it was connected to before may be about to close it."""
        with contextlib.suppress(LogUnavailable):  # It is noted in the next beat.
            await self._attendance.note([session.id], self._grace_s)

    def _check(self, session: LiveSession) -> None:
        if self._live.get(session.id) is session:
            self._spawn(self._close_if_left(session))

    async def _close_if_left(self, session: LiveSession) -> None:
        if session.connections:
            return
        if not await attended_elsewhere(self._attendance, session.id):
            if not session.connections:
                self.end(session, "disconnected")
        elif session.machine.idle:
            self.forget(session.id)  # It is the other instance's now.
        else:
            self._after_grace(session)


def _nothing(_response_id: str) -> bool:
    return False


async def attended_elsewhere(attendance: Attendance, name: str) -> bool:
    """Whether another instance attends to it; as long as nobody can tell, it may."""
    try:
        return await attendance.elsewhere(name)
    except LogUnavailable:
        return True


def session_not_found(session_id: str) -> NotFound:
    """There is none, or it is another account's."""
    return NotFound(
        f"Session with id '{session_id}' not found.", code="session_not_found", param="session"
    )


def session_closed(session_id: str) -> Conflict:
    """The refusal of a turn in a closed session."""
    return Conflict(
        f"Session '{session_id}' is closed; open another.", code="session_closed", param="session"
    )
