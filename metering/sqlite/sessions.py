"""Sessions from their opening to their receipt: see `Ledger`."""

import sqlite3

import msgspec

from metering.errors import NotFound, SessionClosed
from metering.ledger import Closing, SessionRecord, SessionState, SessionUsage
from metering.outbox import HOUR_S
from metering.receipt import Receipt, receipt
from metering.sqlite.keys import require_active_account, require_key
from metering.sqlite.outbox import cut_segment, owe_segment
from metering.sqlite.transactions import begin, transaction
from metering.usage import LedgerRow


def open_session(
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
    return find_session(db, account_id, session_id)


_OPEN_SESSION = """
    INSERT INTO sessions (id, account_id, key_id, opened_at, last_seen_at, metadata)
    SELECT :id, id, :key_id, :at, :at, :metadata FROM accounts
    WHERE id = :account_id AND deleted_at IS NULL AND (
        :key_id IS NULL
        OR EXISTS (SELECT 1 FROM api_keys WHERE id = :key_id AND account_id = :account_id)
    )
    ON CONFLICT (id) DO NOTHING RETURNING *
"""


def find_session(db: sqlite3.Connection, account_id: str, session_id: str) -> SessionRecord:
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


def list_sessions(
    db: sqlite3.Connection,
    account_id: str,
    limit: int,
    after: str | None,
    state: SessionState | None,
) -> list[SessionRecord]:
    opened_at = None if after is None else find_session(db, account_id, after).opened_at
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


def open_sessions(db: sqlite3.Connection, account_id: str) -> int:
    sql = "SELECT count(*) FROM sessions WHERE account_id = ? AND state = 'open'"
    return int(db.execute(sql, (account_id,)).fetchone()[0])


def touch(db: sqlite3.Connection, account_id: str, session_id: str, at: float) -> None:
    with transaction(db):
        if find_session(db, account_id, session_id).state == "closed":
            raise SessionClosed(f"session {session_id}")
        seen(db, session_id, at)


def seen(db: sqlite3.Connection, session_id: str, at: float, hour: int | None = None) -> None:
    """`hour`: the one of which the current segment has rows from now on."""
    sql = (
        "UPDATE sessions SET last_seen_at = max(last_seen_at, ?),"
        " uncut_hour = coalesce(?, uncut_hour) WHERE id = ?"
    )
    db.execute(sql, (at, hour, session_id))


def rows(db: sqlite3.Connection, account_id: str, session_id: str) -> list[LedgerRow]:
    find_session(db, account_id, session_id)
    return _rows_of(db, session_id)


def _rows_of(db: sqlite3.Connection, session_id: str) -> list[LedgerRow]:
    return [LedgerRow(**row) for row in db.execute(_ROWS, (session_id,))]


_ROWS = (
    f"SELECT {', '.join(LedgerRow.__struct_fields__)} FROM usage_records"  # noqa: S608 - names
    " WHERE session_id = ? ORDER BY created_at, response_id, rowid"
)


def usage(db: sqlite3.Connection, account_id: str, session_id: str) -> SessionUsage:
    find_session(db, account_id, session_id)
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


def close_session(
    db: sqlite3.Connection,
    account_id: str,
    session_id: str,
    at: float,
    reason: str,
    *,
    idle_before: float | None,
) -> SessionRecord:
    with transaction(db):
        session = find_session(db, account_id, session_id)
        in_use = idle_before is not None and session.last_seen_at >= idle_before
        if session.state == "closed" or in_use:
            return session
        return close(db, session_id, Closing(at, reason))


def close(db: sqlite3.Connection, session_id: str, closing: Closing) -> SessionRecord:
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


def cut_segments(db: sqlite3.Connection, now: float, limit: int) -> int:
    sql = (
        "SELECT id FROM sessions WHERE uncut_hour IS NOT NULL"
        " AND (uncut_hour < ? OR state = 'closed') ORDER BY uncut_hour LIMIT ?"
    )
    with transaction(db):
        due = db.execute(sql, (int(now // HOUR_S), limit)).fetchall()
        for row in due:
            cut_segment(db, row["id"], now)
    return len(due)


def idle_sessions(db: sqlite3.Connection, before: float, limit: int) -> list[SessionRecord]:
    sql = (
        "SELECT * FROM sessions WHERE state = 'open' AND last_seen_at < ?"
        " ORDER BY last_seen_at, id LIMIT ?"
    )
    return [_session_record(row) for row in db.execute(sql, (before, limit))]
