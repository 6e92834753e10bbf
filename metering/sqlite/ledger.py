"""Sessions, turns and receipts in SQLite."""

import sqlite3

import msgspec

from metering.errors import NotFound, SessionClosed
from metering.ledger import (
    Closing,
    Recorded,
    SessionRecord,
    SessionState,
    SessionUsage,
    check_rows,
)
from metering.outbox import HOUR_S
from metering.receipt import Receipt, receipt
from metering.sqlite.budgets import add_spending, drop_hold
from metering.sqlite.database import Database, insert
from metering.sqlite.keys import require_active_account, require_key
from metering.sqlite.outbox import cut_segment, owe_segment
from metering.sqlite.transactions import begin, transaction
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
            _open_session, session_id, account_id, key_id, at, metadata=metadata or {}
        )

    async def session(self, account_id: str, session_id: str) -> SessionRecord:
        return await self._run(_session, account_id, session_id)

    async def list_sessions(
        self,
        account_id: str,
        *,
        limit: int = 20,
        after: str | None = None,
        state: SessionState | None = None,
    ) -> list[SessionRecord]:
        return await self._run(_list_sessions, account_id, limit, after, state)

    async def open_sessions(self, account_id: str) -> int:
        return await self._run(_open_sessions, account_id)

    async def touch(self, account_id: str, session_id: str, at: float) -> None:
        await self._run(_touch, account_id, session_id, at)

    async def record_turn(
        self, usage: TurnUsage, rows: tuple[LedgerRow, ...], closing: Closing | None = None
    ) -> Recorded:
        check_rows(usage, rows)
        return await self._run(_record_turn, usage, rows, closing)

    async def rows(self, account_id: str, session_id: str) -> list[LedgerRow]:
        return await self._run(_rows, account_id, session_id)

    async def session_usage(self, account_id: str, session_id: str) -> SessionUsage:
        return await self._run(_session_usage, account_id, session_id)

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
            _close_session, account_id, session_id, at, reason, idle_before=idle_before
        )

    async def cut_segments(self, now: float, *, limit: int = 100) -> int:
        return await self._run(_cut_segments, now, limit)

    async def idle_sessions(self, before: float, limit: int = 100) -> list[SessionRecord]:
        return await self._run(_idle_sessions, before, limit)


def _open_session(
    db: sqlite3.Connection,
    session_id: str,
    account_id: str,
    key_id: str | None,
    at: float,
    *,
    metadata: dict[str, str],
) -> SessionRecord:
    begin(db)
    values = {
        "id": session_id,
        "account_id": account_id,
        "key_id": key_id,
        "at": at,
        "metadata": msgspec.json.encode(metadata).decode(),
    }
    if (opened := db.execute(_OPEN_SESSION, values).fetchone()) is not None:
        return _session_record(opened)
    require_active_account(db, account_id)
    if key_id is not None:
        require_key(db, account_id, key_id)
    return _session(db, account_id, session_id)


_OPEN_SESSION = """
    INSERT INTO sessions (id, account_id, key_id, opened_at, last_seen_at, metadata)
    SELECT :id, id, :key_id, :at, :at, :metadata FROM accounts
    WHERE id = :account_id AND deleted_at IS NULL AND (
        :key_id IS NULL
        OR EXISTS (SELECT 1 FROM api_keys WHERE id = :key_id AND account_id = :account_id)
    )
    ON CONFLICT (id) DO NOTHING RETURNING *
"""


def _session(db: sqlite3.Connection, account_id: str, session_id: str) -> SessionRecord:
    sql = "SELECT * FROM sessions WHERE id = ? AND account_id = ?"
    row = db.execute(sql, (session_id, account_id)).fetchone()
    if row is None:
        raise NotFound(f"session {session_id}")
    return _session_record(row)


def _session_record(row: sqlite3.Row) -> SessionRecord:
    stored = row["receipt"]
    kept = None if stored is None else msgspec.json.decode(stored, type=Receipt)
    metadata = msgspec.json.decode(row["metadata"], type=dict[str, str])
    fields = {name: row[name] for name in SessionRecord.__struct_fields__}
    return SessionRecord(**{**fields, "receipt": kept, "metadata": metadata})


def _list_sessions(
    db: sqlite3.Connection,
    account_id: str,
    limit: int,
    after: str | None,
    state: SessionState | None,
) -> list[SessionRecord]:
    opened_at = None if after is None else _session(db, account_id, after).opened_at
    rows = db.execute(
        "SELECT * FROM sessions WHERE account_id = :account_id"
        " AND (:state IS NULL OR state = :state)"
        " AND (:after IS NULL OR (opened_at, id) < (:opened_at, :after))"
        " ORDER BY opened_at DESC, id DESC LIMIT :limit",
        {
            "account_id": account_id,
            "state": state,
            "opened_at": opened_at,
            "after": after,
            "limit": limit,
        },
    )
    return [_session_record(row) for row in rows]


def _open_sessions(db: sqlite3.Connection, account_id: str) -> int:
    sql = "SELECT count(*) FROM sessions WHERE account_id = ? AND state = 'open'"
    return int(db.execute(sql, (account_id,)).fetchone()[0])


def _touch(db: sqlite3.Connection, account_id: str, session_id: str, at: float) -> None:
    with transaction(db):
        if _session(db, account_id, session_id).state == "closed":
            raise SessionClosed(f"session {session_id}")
        _seen(db, session_id, at)


def _seen(db: sqlite3.Connection, session_id: str, at: float, hour: int | None = None) -> None:
    """`hour`: the one of which the current segment has rows from now on."""
    sql = (
        "UPDATE sessions SET last_seen_at = max(last_seen_at, ?),"
        " uncut_hour = coalesce(?, uncut_hour) WHERE id = ?"
    )
    db.execute(sql, (at, hour, session_id))


def _record_turn(
    db: sqlite3.Connection,
    usage: TurnUsage,
    rows: tuple[LedgerRow, ...],
    closing: Closing | None = None,
) -> Recorded:
    with transaction(db):
        names = {name: getattr(usage, name) for name in ("response_id", "session_id", "account_id")}
        session = db.execute(_SESSION_OF_TURN, names).fetchone()
        if session is None:
            raise NotFound(f"session {usage.session_id}")
        drop_hold(db, usage.response_id)
        if not session["is_recorded"]:
            _write_turn(db, usage, rows, session)
        if closing is not None and session["state"] == "open":
            _close(db, usage.session_id, closing)
    if session["is_recorded"]:
        return Recorded.AGAIN
    return Recorded.LATE if session["state"] == "closed" else Recorded.NEW


_SESSION_OF_TURN = """
    SELECT state, segment, uncut_hour,
        EXISTS (SELECT 1 FROM turns WHERE response_id = :response_id) AS is_recorded
    FROM sessions WHERE id = :session_id AND account_id = :account_id
"""


def _write_turn(
    db: sqlite3.Connection, usage: TurnUsage, rows: tuple[LedgerRow, ...], session: sqlite3.Row
) -> None:
    """Rows go into the segment of the hour in which the turn ended."""
    hour = int(usage.at // HOUR_S) if rows else None
    segment: int = session["segment"]
    if rows and session["uncut_hour"] not in {None, hour}:
        cut_segment(db, usage.session_id, usage.at)
        segment += 1
    insert(db, "turns", usage, segment=segment)
    add_spending(db, usage.account_id, usage.at, sum(row.cost_micro_usd for row in rows))
    for row in rows:
        insert(db, "usage_records", row, segment=segment)
    _seen(db, usage.session_id, usage.at, hour)


def _rows(db: sqlite3.Connection, account_id: str, session_id: str) -> list[LedgerRow]:
    _session(db, account_id, session_id)
    return _rows_of(db, session_id)


def _rows_of(db: sqlite3.Connection, session_id: str) -> list[LedgerRow]:
    return [LedgerRow(**row) for row in db.execute(_ROWS, (session_id,))]


_ROWS = (
    f"SELECT {', '.join(LedgerRow.__struct_fields__)} FROM usage_records"  # noqa: S608 - names
    " WHERE session_id = ? ORDER BY created_at, response_id, rowid"
)


def _session_usage(db: sqlite3.Connection, account_id: str, session_id: str) -> SessionUsage:
    _session(db, account_id, session_id)
    # One statement, so that all sums are of the same moment.
    row = db.execute(_SESSION_USAGE, {"session_id": session_id}).fetchone()
    return SessionUsage(**row)


_SESSION_USAGE = """
    SELECT
        count(*) AS turns,
        coalesce(sum(input_tokens), 0) AS input_tokens,
        coalesce(sum(cached_tokens), 0) AS cached_tokens,
        coalesce(sum(output_tokens), 0) AS output_tokens,
        coalesce(sum(images), 0) AS images,
        coalesce(sum(detections), 0) AS detections,
        (
            SELECT coalesce(sum(cost_micro_usd), 0) FROM usage_records
            WHERE session_id = :session_id
        ) AS cost_micro_usd,
        (
            SELECT coalesce(sum(cost_micro_usd), 0)
            FROM usage_records JOIN sessions ON sessions.id = usage_records.session_id
            WHERE sessions.id = :session_id AND sessions.state = 'closed'
                AND usage_records.segment >= sessions.receipt_segments
        ) AS late_micro_usd
    FROM turns WHERE session_id = :session_id
"""


def _close_session(
    db: sqlite3.Connection,
    account_id: str,
    session_id: str,
    at: float,
    reason: str,
    *,
    idle_before: float | None,
) -> SessionRecord:
    with transaction(db):
        session = _session(db, account_id, session_id)
        in_use = idle_before is not None and session.last_seen_at >= idle_before
        if session.state == "closed" or in_use:
            return session
        return _close(db, session_id, Closing(at, reason))


def _close(db: sqlite3.Connection, session_id: str, closing: Closing) -> SessionRecord:
    """Within a transaction: the receipt, and what the last segment owes."""
    final = msgspec.json.encode(receipt(_rows_of(db, session_id))).decode()
    owe_segment(db, session_id, closing.at)
    (closed,) = db.execute(
        "UPDATE sessions SET state = 'closed', segment = segment + 1, uncut_hour = NULL,"
        " receipt_segments = segment + 1, closed_at = ?, close_reason = ?, receipt = ?"
        " WHERE id = ? RETURNING *",
        (closing.at, closing.reason, final, session_id),
    )
    return _session_record(closed)


def _cut_segments(db: sqlite3.Connection, now: float, limit: int) -> int:
    sql = (
        "SELECT id FROM sessions WHERE uncut_hour IS NOT NULL"
        " AND (uncut_hour < ? OR state = 'closed') ORDER BY uncut_hour LIMIT ?"
    )
    with transaction(db):
        due = db.execute(sql, (int(now // HOUR_S), limit)).fetchall()
        for row in due:
            cut_segment(db, row["id"], now)
    return len(due)


def _idle_sessions(db: sqlite3.Connection, before: float, limit: int) -> list[SessionRecord]:
    sql = (
        "SELECT * FROM sessions WHERE state = 'open' AND last_seen_at < ?"
        " ORDER BY last_seen_at, id LIMIT ?"
    )
    return [_session_record(row) for row in db.execute(sql, (before, limit))]
