"""Comparing hours with Stripe's, in SQLite: see `Outbox.unreconciled` and `Outbox.reconcile`."""

import sqlite3
from collections.abc import Iterable

import msgspec

from metering.outbox import HOUR_S
from metering.reconciliation import RECONCILE_AFTER_S, MeterHour, Verdict, judge
from metering.sqlite.transactions import transaction


def unreconciled(db: sqlite3.Connection, now: float, limit: int) -> list[MeterHour]:
    sql = (
        f"SELECT * FROM ({_SETTLED_HOURS}) LEFT JOIN"  # noqa: S608 - ours
        " (SELECT customer_id, meter, hour, compared_at FROM meter_hours)"
        " USING (customer_id, meter, hour)"
        " ORDER BY coalesce(compared_at, 0), hour, customer_id, meter LIMIT :limit"
    )
    rows: Iterable[sqlite3.Row] = db.execute(sql, {**_settled_by(now), "limit": limit})
    return [MeterHour(customer_id=r["customer_id"], meter=r["meter"], hour=r["hour"]) for r in rows]


def _settled_by(at: float) -> dict[str, float]:
    return {"ended": at - RECONCILE_AFTER_S - HOUR_S, "unchanged": at - RECONCILE_AFTER_S}


def reconcile(db: sqlite3.Connection, hour: MeterHour, found: int, at: float) -> Verdict:
    names: dict[str, str | int] = msgspec.structs.asdict(hour)
    with transaction(db):
        row = db.execute(_FIGURES, names).fetchone()
        verdict = judge(row["expected"], found, row["ambiguous"])
        if not _is_settled(db, names, at):
            return msgspec.structs.replace(verdict, outcome="unsettled")
        if verdict.outcome == "equal":
            db.execute(_SETTLE, {**names, "state": "accepted", "at": at})
            db.execute(_COMPARED, names)
        elif verdict.outcome == "repaired":
            db.execute(_REPAIR, {**names, "units": verdict.missing, "at": at})
            db.execute(_SETTLE, {**names, "state": "resolved", "at": at})
        db.execute(
            _KEEP_VERDICT,
            {**msgspec.structs.asdict(verdict), **names, "at": at},
        )
        return verdict


def _is_settled(db: sqlite3.Connection, names: dict[str, str | int], at: float) -> bool:
    sql = (
        f"SELECT 1 FROM ({_SETTLED_HOURS})"  # noqa: S608 - ours
        " WHERE customer_id = :customer_id AND meter = :meter AND hour = :hour"
    )
    return db.execute(sql, {**_settled_by(at), **names}).fetchone() is not None


_SETTLED_HOURS = """
    SELECT customer_id, meter, hour FROM outbox
    WHERE (customer_id, meter, hour) IN (
        SELECT customer_id, meter, hour FROM outbox
        WHERE compared = 0 AND customer_id IS NOT NULL AND hour <= :ended
    )
    GROUP BY customer_id, meter, hour
    HAVING max(changed_at) <= :unchanged AND sum(state = 'pending') = 0
"""

_FIGURES = """
    SELECT
        coalesce(sum(CASE
            WHEN session_id IS NOT NULL AND state IN ('accepted', 'ambiguous', 'resolved')
                THEN units
            WHEN session_id IS NULL AND state IN ('expired', 'invoiced') THEN -units
        END), 0) AS expected,
        coalesce(sum(CASE WHEN state = 'ambiguous' THEN units END), 0) AS ambiguous
    FROM outbox WHERE customer_id = :customer_id AND meter = :meter AND hour = :hour
"""

_REPAIR = """
    INSERT INTO outbox
        (id, account_id, customer_id, meter, units, cost_micro_usd, timestamp, changed_at)
    SELECT 'kx:repair:' || customer_id || ':' || meter || ':' || hour || ':' || (
            SELECT count(*) FROM outbox WHERE session_id IS NULL
                AND customer_id = :customer_id AND meter = :meter AND hour = :hour
        ),
        account_id, customer_id, meter, :units, sum(cost_micro_usd) * :units / sum(units),
        max(timestamp), :at
    FROM outbox
    WHERE state = 'ambiguous' AND customer_id = :customer_id AND meter = :meter AND hour = :hour
"""

_SETTLE = """
    UPDATE outbox SET state = :state, changed_at = :at
    WHERE state = 'ambiguous' AND customer_id = :customer_id AND meter = :meter AND hour = :hour
"""

_COMPARED = """
    UPDATE outbox SET compared = 1
    WHERE customer_id = :customer_id AND meter = :meter AND hour = :hour
"""

_KEEP_VERDICT = """
    INSERT INTO meter_hours (customer_id, meter, hour, outcome, expected, found, compared_at)
    VALUES (:customer_id, :meter, :hour, :outcome, :expected, :found, :at)
    ON CONFLICT (customer_id, meter, hour) DO UPDATE SET outcome = excluded.outcome,
        expected = excluded.expected, found = excluded.found, compared_at = excluded.compared_at
"""
