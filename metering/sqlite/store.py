"""The whole store in one SQLite file."""

from pathlib import Path

from metering.sqlite.accounts import SqliteAccounts
from metering.sqlite.budgets import SqliteBudgets
from metering.sqlite.database import Database
from metering.sqlite.ledger import SqliteLedger
from metering.sqlite.outbox import SqliteOutbox
from metering.sqlite.reports import SqliteReports
from metering.sqlite.subscriptions import SqliteSubscriptions
from metering.store import Store


async def open_sqlite(path: Path, *, busy_timeout_s: float = 5.0) -> Store:
    """Open the file, made and migrated as needed; see `Database.open`."""
    return sqlite_store(await Database.open(path, busy_timeout_s=busy_timeout_s))


def sqlite_store(database: Database) -> Store:
    """All ports on one database."""
    return Store(
        accounts=SqliteAccounts(database),
        ledger=SqliteLedger(database),
        budgets=SqliteBudgets(database),
        outbox=SqliteOutbox(database),
        reports=SqliteReports(database),
        subscriptions=SqliteSubscriptions(database),
        close=database.close,
    )
