"""Budgets and holds in SQLite."""

import sqlite3

import msgspec

from metering.budgets import Budget, Hold, Standing, grant, month
from metering.sqlite.database import Database
from metering.sqlite.keys import require_active_account
from metering.sqlite.transactions import transaction


class SqliteBudgets:
    """The `Budgets` port."""

    def __init__(self, database: Database) -> None:
        self._run = database.run

    async def set_budget(self, budget: Budget) -> None:
        await self._run(_set_budget, budget)

    async def remove_budget(self, account_id: str) -> None:
        await self._run(_remove_budget, account_id)

    async def standing(self, account_id: str, at: float) -> Standing | None:
        return await self._run(_standing, account_id, at)

    async def spent(self, account_id: str, at: float) -> int:
        return await self._run(_spent, account_id, at)

    async def hold(
        self,
        account_id: str,
        response_id: str,
        *,
        least_micro_usd: int,
        most_micro_usd: int,
        at: float,
        until: float,
        fallback: bool = False,
    ) -> Hold | None:
        return await self._run(
            _hold,
            account_id,
            response_id,
            least_micro_usd=least_micro_usd,
            most_micro_usd=most_micro_usd,
            at=at,
            until=until,
            fallback=fallback,
        )

    async def release(self, response_id: str) -> None:
        await self._run(drop_hold, response_id)


def add_spending(db: sqlite3.Connection, account_id: str, at: float, micro_usd: int) -> None:
    """Count what a turn cost, in the transaction that writes it into the ledger."""
    db.execute(
        "INSERT INTO spending (account_id, month, cost_micro_usd) VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET cost_micro_usd = cost_micro_usd + excluded.cost_micro_usd",
        (account_id, month(at), micro_usd),
    )


def drop_hold(db: sqlite3.Connection, response_id: str) -> None:
    """Give back what the turn had set aside."""
    db.execute("DELETE FROM holds WHERE response_id = ?", (response_id,))


def _set_budget(db: sqlite3.Connection, budget: Budget) -> None:
    with transaction(db):
        require_active_account(db, budget.account_id)
        db.execute(
            "INSERT INTO budgets (account_id, limit_micro_usd, hard, locked, fallback_micro_usd)"
            " VALUES (:account_id, :limit_micro_usd, :hard, :locked, :fallback_micro_usd)"
            " ON CONFLICT DO UPDATE SET"
            " limit_micro_usd = excluded.limit_micro_usd, hard = excluded.hard,"
            " locked = excluded.locked, fallback_micro_usd = excluded.fallback_micro_usd",
            msgspec.structs.asdict(budget),
        )


def _remove_budget(db: sqlite3.Connection, account_id: str) -> None:
    db.execute("DELETE FROM budgets WHERE account_id = ?", (account_id,))


def _standing(db: sqlite3.Connection, account_id: str, at: float) -> Standing | None:
    # One statement, so that all sums are of the same moment.
    row = db.execute(
        "SELECT limit_micro_usd, hard, locked, fallback_micro_usd,"
        " coalesce((SELECT cost_micro_usd FROM spending"
        "  WHERE account_id = :account_id AND month = :month), 0) AS spent_micro_usd,"
        " coalesce((SELECT sum(granted_micro_usd) FROM holds"
        "  WHERE account_id = :account_id AND until > :at), 0) AS held_micro_usd"
        " FROM budgets WHERE account_id = :account_id",
        {"account_id": account_id, "month": month(at), "at": at},
    ).fetchone()
    return (
        None
        if row is None
        else Standing(**{**row, "hard": bool(row["hard"]), "locked": bool(row["locked"])})
    )


def _spent(db: sqlite3.Connection, account_id: str, at: float) -> int:
    row = db.execute(
        "SELECT cost_micro_usd FROM spending WHERE account_id = ? AND month = ?",
        (account_id, month(at)),
    ).fetchone()
    return 0 if row is None else int(row[0])


def _hold(
    db: sqlite3.Connection,
    account_id: str,
    response_id: str,
    *,
    least_micro_usd: int,
    most_micro_usd: int,
    at: float,
    until: float,
    fallback: bool,
) -> Hold | None:
    if _standing(db, account_id, at) is None:
        return None  # Most accounts: nothing to write, so no other process is waited for.
    with transaction(db):
        if (standing := _standing(db, account_id, at)) is None:
            return None
        standing = standing.with_fallback() if fallback else standing
        before = db.execute("SELECT * FROM holds WHERE response_id = ?", (response_id,)).fetchone()
        if before is not None:
            return Hold(
                limit_micro_usd=standing.limit_micro_usd,
                hard=standing.hard,
                left_micro_usd=before["left_micro_usd"],
                granted_micro_usd=before["granted_micro_usd"],
            )
        hold = grant(standing, least_micro_usd, most_micro_usd)
        db.execute("DELETE FROM holds WHERE account_id = ? AND until <= ?", (account_id, at))
        db.execute(
            "INSERT INTO holds (response_id, account_id, granted_micro_usd, left_micro_usd, until)"
            " VALUES (?, ?, ?, ?, ?)",
            (response_id, account_id, hold.granted_micro_usd, hold.left_micro_usd, until),
        )
        return hold
