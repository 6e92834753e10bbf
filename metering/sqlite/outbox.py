"""The outbox in SQLite."""

import sqlite3

from metering.outbox import (
    AMBIGUOUS_AFTER_S,
    EXPIRED_AFTER_S,
    OutboxHealth,
    OutboxRow,
)
from metering.reconciliation import MeterHour, Verdict
from metering.sqlite.accounts import require_account
from metering.sqlite.database import Database
from metering.sqlite.meter_hours import reconcile, unreconciled
from metering.sqlite.transactions import transaction

COLUMNS = ", ".join(OutboxRow.__struct_fields__)


class SqliteOutbox:
    """The `Outbox` port."""

    def __init__(self, database: Database) -> None:
        self._run = database.run

    async def link_customer(self, account_id: str, customer_id: str, at: float) -> int:
        return await self._run(_link_customer, account_id, customer_id, at)

    async def customer(self, account_id: str) -> str | None:
        return await self._run(_customer, account_id)

    async def claim(
        self, now: float, *, lease_s: float, limit: int, delay_s: float = 0.0, abreast: int = 1
    ) -> list[OutboxRow]:
        return await self._run(
            _query,
            _CLAIM,
            now=now,
            until=now + lease_s,
            used_before=now - delay_s,
            used_after=now - EXPIRED_AFTER_S,
            attempted_after=now - AMBIGUOUS_AFTER_S,
            limit=limit,
            abreast=abreast,
        )

    async def accept(self, row_id: str, at: float) -> bool:
        return await self._run(_change, _ACCEPT, id=row_id, at=at)

    async def postpone(
        self, row: OutboxRow, at: float, *, until: float, note: str, refused: bool
    ) -> bool:
        return await self._run(
            _change,
            _POSTPONE,
            id=row.id,
            claimed_until=row.claimed_until,
            at=at,
            until=until,
            note=note,
            refused=refused,
        )

    async def bury(self, row_id: str, at: float, note: str) -> bool:
        return await self._run(_change, _BURY, id=row_id, at=at, note=note)

    async def age(self, now: float) -> tuple[int, int]:
        return await self._run(_age, now)

    async def claim_expired(self, now: float, *, lease_s: float, limit: int) -> list[OutboxRow]:
        return await self._run(_query, _CLAIM_EXPIRED, now=now, until=now + lease_s, limit=limit)

    async def invoice(self, row_id: str, at: float, note: str) -> bool:
        return await self._run(_change, _INVOICE, id=row_id, at=at, note=note)

    async def unreconciled(self, now: float, *, limit: int) -> list[MeterHour]:
        return await self._run(unreconciled, now, limit)

    async def reconcile(self, hour: MeterHour, found: int, at: float) -> Verdict:
        return await self._run(reconcile, hour, found, at)

    async def rows(self, account_id: str, session_id: str) -> list[OutboxRow]:
        return await self._run(_query, _ROWS, account_id=account_id, session_id=session_id)

    async def attention(self, *, limit: int = 100) -> list[OutboxRow]:
        return await self._run(_query, _ATTENTION, limit=limit)

    async def health(self) -> OutboxHealth:
        return await self._run(_health)


def cut_segment(db: sqlite3.Connection, session_id: str, at: float) -> None:
    """Within a transaction: what the current segment owes goes into the outbox; the next begins."""
    owe_segment(db, session_id, at)
    db.execute(
        "UPDATE sessions SET segment = segment + 1, uncut_hour = NULL WHERE id = ?", (session_id,)
    )


def owe_segment(db: sqlite3.Connection, session_id: str, at: float) -> None:
    """The outbox' part of it."""
    db.execute(_OWE, {"session_id": session_id, "at": at})


_OWE = """
    INSERT INTO outbox
        (id, account_id, customer_id, session_id, segment, meter, units, cost_micro_usd,
         timestamp, changed_at)
    SELECT 'kx:' || sessions.id || ':' || sessions.segment || ':' || meter,
        sessions.account_id,
        (SELECT customer_id FROM customers WHERE account_id = sessions.account_id),
        sessions.id, sessions.segment, meter,
        sum(billable_units), sum(cost_micro_usd), CAST(max(usage_records.created_at) AS INTEGER),
        :at
    FROM sessions JOIN usage_records
        ON usage_records.session_id = sessions.id AND usage_records.segment = sessions.segment
    WHERE sessions.id = :session_id
    GROUP BY meter
    HAVING sum(billable_units) > 0
"""

_CLAIM = f"""
    UPDATE outbox SET
        attempts = attempts + 1,
        unanswered = unanswered + 1,
        first_attempt_at = coalesce(first_attempt_at, :now),
        claimed_until = :until,
        changed_at = :now
    WHERE id IN (
        SELECT id FROM (
            SELECT id, timestamp, customer_id, meter,
                row_number() OVER (PARTITION BY customer_id, meter ORDER BY timestamp, id) AS place
            FROM outbox
            WHERE state = 'pending' AND customer_id IS NOT NULL
                AND timestamp <= :used_before AND timestamp > :used_after
                AND next_attempt_at <= :now AND claimed_until <= :now
                AND (first_attempt_at IS NULL OR first_attempt_at > :attempted_after)
        ) AS due
        WHERE place + (
            SELECT count(*) FROM outbox AS other
            WHERE other.state = 'pending' AND other.customer_id = due.customer_id
                AND other.meter = due.meter AND other.claimed_until > :now
        ) <= :abreast
        ORDER BY timestamp, id LIMIT :limit
    )
    RETURNING {COLUMNS}
"""  # noqa: S608 - names

_ACCEPT = """
    UPDATE outbox SET state = 'accepted', claimed_until = 0, changed_at = :at, note = ''
    WHERE id = :id AND state IN ('pending', 'ambiguous')
"""

_POSTPONE = """
    UPDATE outbox SET
        claimed_until = 0,
        next_attempt_at = :until,
        unanswered = unanswered - :refused,
        first_attempt_at = CASE WHEN unanswered > :refused THEN first_attempt_at END,
        changed_at = :at,
        note = :note
    WHERE id = :id AND state = 'pending' AND claimed_until = :claimed_until
"""

_BURY = """
    UPDATE outbox SET state = 'dead', claimed_until = 0, changed_at = :at, note = :note
    WHERE id = :id AND state = 'pending'
"""

_GIVE_UP = """
    UPDATE outbox SET state = 'ambiguous', changed_at = :now
    WHERE state = 'pending' AND customer_id IS NOT NULL AND claimed_until <= :now
        AND first_attempt_at IS NOT NULL
        AND (first_attempt_at <= :attempted_before OR timestamp <= :used_before)
"""

_EXPIRE = """
    UPDATE outbox SET state = 'expired', changed_at = :now
    WHERE state = 'pending' AND customer_id IS NOT NULL AND claimed_until <= :now
        AND first_attempt_at IS NULL AND timestamp <= :used_before
"""

_CLAIM_EXPIRED = f"""
    UPDATE outbox SET claimed_until = :until
    WHERE id IN (
        SELECT id FROM outbox WHERE state = 'expired' AND claimed_until <= :now
        ORDER BY timestamp, id LIMIT :limit
    )
    RETURNING {COLUMNS}
"""  # noqa: S608 - names

_INVOICE = """
    UPDATE outbox SET state = 'invoiced', claimed_until = 0, changed_at = :at, note = :note
    WHERE id = :id AND state = 'expired'
"""

_ROWS = f"""
    SELECT {COLUMNS} FROM outbox
    WHERE account_id = :account_id AND session_id = :session_id ORDER BY segment, meter
"""  # noqa: S608 - names

_ATTENTION = f"""
    SELECT {COLUMNS} FROM outbox WHERE state IN ('ambiguous', 'dead', 'expired')
    ORDER BY timestamp, id LIMIT :limit
"""  # noqa: S608 - names

_HEALTH = """
    SELECT
        coalesce(sum(state = 'pending' AND customer_id IS NOT NULL), 0) AS pending,
        coalesce(sum(customer_id IS NULL), 0) AS unlinked,
        coalesce(sum(state = 'ambiguous'), 0) AS ambiguous,
        coalesce(sum(state = 'dead'), 0) AS dead,
        coalesce(sum(state = 'expired'), 0) AS expired,
        min(CASE WHEN state = 'pending' AND customer_id IS NOT NULL THEN timestamp END)
            AS oldest_pending_at,
        (SELECT count(*) FROM meter_hours WHERE outcome = 'mismatch') AS mismatched_hours,
        (
            SELECT coalesce(sum(abs(expected - found)), 0) FROM meter_hours
            WHERE outcome = 'mismatch'
        ) AS mismatched_units
    FROM outbox WHERE state IN ('pending', 'ambiguous', 'dead', 'expired')
"""


def _query(db: sqlite3.Connection, /, sql: str, **values: float | str) -> list[OutboxRow]:
    """One statement is a transaction of its own (and RETURNING has no order)."""
    rows = [OutboxRow(**row) for row in db.execute(sql, values)]
    return sorted(rows, key=lambda row: (row.timestamp, row.id)) if "RETURNING" in sql else rows


def _change(db: sqlite3.Connection, /, sql: str, **values: float | str) -> bool:
    return db.execute(sql, values).rowcount == 1


def _link_customer(db: sqlite3.Connection, account_id: str, customer_id: str, at: float) -> int:
    with transaction(db):
        require_account(db, account_id)
        db.execute(
            "INSERT INTO customers (account_id, customer_id, linked_at) VALUES (?, ?, ?)"
            " ON CONFLICT (account_id) DO UPDATE"
            " SET customer_id = excluded.customer_id, linked_at = excluded.linked_at"
            " WHERE customer_id <> excluded.customer_id",
            (account_id, customer_id, at),
        )
        return db.execute(
            "UPDATE outbox SET customer_id = ?, changed_at = ?"
            " WHERE account_id = ? AND customer_id IS NULL",
            (customer_id, at, account_id),
        ).rowcount


def _customer(db: sqlite3.Connection, account_id: str) -> str | None:
    sql = "SELECT customer_id FROM customers WHERE account_id = ?"
    row = db.execute(sql, (account_id,)).fetchone()
    return None if row is None else row[0]


def _age(db: sqlite3.Connection, now: float) -> tuple[int, int]:
    limits = {
        "now": now,
        "attempted_before": now - AMBIGUOUS_AFTER_S,
        "used_before": now - EXPIRED_AFTER_S,
    }
    with transaction(db):
        ambiguous = db.execute(_GIVE_UP, limits).rowcount
        del limits["attempted_before"]
        return ambiguous, db.execute(_EXPIRE, limits).rowcount


def _health(db: sqlite3.Connection) -> OutboxHealth:
    return OutboxHealth(**db.execute(_HEALTH).fetchone())
