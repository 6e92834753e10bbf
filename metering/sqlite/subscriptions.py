"""Stripe's events and subscriptions in SQLite."""

import sqlite3

from metering.sqlite.database import Database
from metering.sqlite.transactions import transaction
from metering.subscriptions import Subscription


class SqliteSubscriptions:
    """The `Subscriptions` port."""

    def __init__(self, database: Database) -> None:
        self._run = database.run

    async def take_event(self, event_id: str, at: float, told: Subscription | None = None) -> bool:
        return await self._run(_take_event, event_id, at, told)

    async def subscriptions(self, account_id: str) -> list[Subscription]:
        return await self._run(_subscriptions, account_id)


def _take_event(
    db: sqlite3.Connection, event_id: str, at: float, told: Subscription | None
) -> bool:
    with transaction(db):
        taken = db.execute(
            "INSERT INTO stripe_events (id, received_at) VALUES (?, ?) ON CONFLICT DO NOTHING",
            (event_id, at),
        ).rowcount
        if taken and told is not None:
            db.execute(
                "INSERT INTO subscriptions (id, customer_id, status, changed_at)"
                " VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
                " customer_id = excluded.customer_id, status = excluded.status,"
                " changed_at = excluded.changed_at WHERE changed_at <= excluded.changed_at",
                (told.id, told.customer_id, told.status, told.changed_at),
            )
        return bool(taken)


def _subscriptions(db: sqlite3.Connection, account_id: str) -> list[Subscription]:
    sql = (
        "SELECT id, customer_id, status, changed_at FROM subscriptions"
        " WHERE customer_id = (SELECT customer_id FROM customers WHERE account_id = ?)"
        " ORDER BY changed_at DESC, id"
    )
    return [Subscription(**row) for row in db.execute(sql, (account_id,))]
