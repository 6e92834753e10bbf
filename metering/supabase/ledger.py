"""Sessions, turns and receipts in Supabase."""

import msgspec

from metering.ledger import (
    Closing,
    Recorded,
    SessionRecord,
    SessionState,
    SessionUsage,
    check_rows,
)
from metering.receipt import receipt
from metering.supabase.database import Database, text
from metering.usage import LedgerRow, TurnUsage


class _Books(msgspec.Struct, frozen=True):
    """A session and all that is in its books at one moment."""

    session: SessionRecord
    turns: int
    ledger: list[LedgerRow]


class SupabaseLedger:
    """The `Ledger` port."""

    def __init__(self, database: Database) -> None:
        self._call = database.call
        self._find = database.find
        self._read = database.read

    async def open_session(
        self,
        session_id: str,
        account_id: str,
        key_id: str | None,
        at: float,
        *,
        metadata: dict[str, str] | None = None,
    ) -> SessionRecord:
        return await self._read(
            SessionRecord,
            "open_session",
            session_id=session_id,
            account_id=account_id,
            key_id=key_id,
            at=at,
            metadata=text(metadata or {}),
        )

    async def session(self, account_id: str, session_id: str) -> SessionRecord:
        return await self._read(
            SessionRecord, "session", account_id=account_id, session_id=session_id
        )

    async def list_sessions(
        self,
        account_id: str,
        *,
        limit: int = 20,
        after: str | None = None,
        state: SessionState | None = None,
    ) -> list[SessionRecord]:
        return await self._read(
            list[SessionRecord],
            "list_sessions",
            account_id=account_id,
            page_size=limit,
            after=after,
            state=state,
        )

    async def open_sessions(self, account_id: str) -> int:
        return await self._read(int, "open_sessions", account_id=account_id)

    async def touch(self, account_id: str, session_id: str, at: float) -> None:
        await self._call("touch", account_id=account_id, session_id=session_id, at=at)

    async def record_turn(
        self, usage: TurnUsage, rows: tuple[LedgerRow, ...], closing: Closing | None = None
    ) -> Recorded:
        check_rows(usage, rows)
        written = await self._call("record_turn", usage=text(usage), ledger_rows=text(rows))
        if closing is not None:
            await self.close_session(usage.account_id, usage.session_id, closing.at, closing.reason)
        return Recorded(written)

    async def rows(self, account_id: str, session_id: str) -> list[LedgerRow]:
        return await self._read(
            list[LedgerRow], "ledger", account_id=account_id, session_id=session_id
        )

    async def session_usage(self, account_id: str, session_id: str) -> SessionUsage:
        return await self._read(
            SessionUsage, "session_usage", account_id=account_id, session_id=session_id
        )

    async def close_session(
        self,
        account_id: str,
        session_id: str,
        at: float,
        reason: str,
        *,
        idle_before: float | None = None,
    ) -> SessionRecord:
        while True:  # Until no turn comes between reading the books and closing them.
            books = await self._read(
                _Books, "session_books", account_id=account_id, session_id=session_id
            )
            if books.session.state == "closed":
                return books.session
            closed = await self._find(
                SessionRecord,
                "close_session",
                account_id=account_id,
                session_id=session_id,
                at=at,
                reason=reason,
                idle_before=idle_before,
                turns=books.turns,
                receipt=text(receipt(books.ledger)),
            )
            if closed is not None:
                return closed

    async def cut_segments(self, now: float, *, limit: int = 100) -> int:
        cut: int = await self._call("cut_segments", now=now, at_most=limit)
        return cut

    async def idle_sessions(self, before: float, limit: int = 100) -> list[SessionRecord]:
        return await self._read(
            list[SessionRecord], "idle_sessions", before=before, page_size=limit
        )
