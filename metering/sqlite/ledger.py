"""Sessions, turns and receipts in SQLite."""

from metering.ledger import (
    Closing,
    Recorded,
    SessionRecord,
    SessionState,
    SessionUsage,
    check_rows,
)
from metering.sqlite import sessions
from metering.sqlite.database import Database
from metering.sqlite.turns import record_turn
from metering.usage import LedgerRow, TurnUsage


class SqliteLedger:
    """The `Ledger` port."""

    def __init__(self, database: Database) -> None:
        self._run = database.run

    async def open_session(
        self,
        session_id: str,
        account_id: str,
        key_id: str | None,
        at: float,
        *,
        metadata: dict[str, str] | None = None,
    ) -> SessionRecord:
        return await self._run(
            sessions.open_session, session_id, account_id, key_id, at, metadata=metadata or {}
        )

    async def session(self, account_id: str, session_id: str) -> SessionRecord:
        return await self._run(sessions.find_session, account_id, session_id)

    async def list_sessions(
        self,
        account_id: str,
        *,
        limit: int = 20,
        after: str | None = None,
        state: SessionState | None = None,
    ) -> list[SessionRecord]:
        return await self._run(sessions.list_sessions, account_id, limit, after, state)

    async def open_sessions(self, account_id: str) -> int:
        return await self._run(sessions.open_sessions, account_id)

    async def touch(self, account_id: str, session_id: str, at: float) -> None:
        await self._run(sessions.touch, account_id, session_id, at)

    async def record_turn(
        self, usage: TurnUsage, rows: tuple[LedgerRow, ...], closing: Closing | None = None
    ) -> Recorded:
        check_rows(usage, rows)
        return await self._run(record_turn, usage, rows, closing)

    async def rows(self, account_id: str, session_id: str) -> list[LedgerRow]:
        return await self._run(sessions.rows, account_id, session_id)

    async def session_usage(self, account_id: str, session_id: str) -> SessionUsage:
        return await self._run(sessions.usage, account_id, session_id)

    async def close_session(
        self,
        account_id: str,
        session_id: str,
        at: float,
        reason: str,
        *,
        idle_before: float | None = None,
    ) -> SessionRecord:
        return await self._run(
            sessions.close_session, account_id, session_id, at, reason, idle_before=idle_before
        )

    async def cut_segments(self, now: float, *, limit: int = 100) -> int:
        return await self._run(sessions.cut_segments, now, limit)

    async def idle_sessions(self, before: float, limit: int = 100) -> list[SessionRecord]:
        return await self._run(sessions.idle_sessions, before, limit)
