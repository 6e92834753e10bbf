"""What a turn used, written once: see `Ledger.record_turn`."""

import sqlite3

from metering.errors import NotFound
from metering.ledger import Closing, Recorded
from metering.outbox import HOUR_S
from metering.sqlite import sessions
from metering.sqlite.budgets import add_spending, drop_hold
from metering.sqlite.database import insert
from metering.sqlite.outbox import cut_segment
from metering.sqlite.transactions import transaction
from metering.usage import LedgerRow, TurnUsage


def record_turn(
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
            sessions.close(db, usage.session_id, closing)
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
    sessions.seen(db, usage.session_id, usage.at, hour)
