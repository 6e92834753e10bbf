"""The stores that every port's tests run on, and what is in them."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import mkdtemp

import pytest

from metering.accounts import Account, KeyRecord
from metering.ledger import Recorded
from metering.prices import PriceBook
from metering.sqlite.store import open_sqlite
from metering.store import Store
from metering.supabase.store import open_supabase
from metering.usage import TurnUsage, ledger_rows
from tests.metering.samples import BOOK
from tests.supabase.project import SupabaseProject

OpenStore = Callable[[], Awaitable[Store]]
"""Opens an empty store. What it opened before is void then."""

ADAPTERS = ["sqlite", "supabase", pytest.param("supabase_on_postgres", marks=pytest.mark.slow)]


def in_files(folder: Path) -> OpenStore:
    """SQLite, with a file for each store."""
    return lambda: open_sqlite(Path(mkdtemp(dir=folder)) / "metering.db")


def in_project(project: SupabaseProject) -> OpenStore:
    """Supabase, the tables emptied for each store."""

    async def open_store() -> Store:
        project.reset()
        return await open_supabase(project.url, project.service_key, timeout_s=60)

    return open_store


async def furnish(store: Store) -> None:
    for name in ("acct_1", "acct_2"):
        await store.accounts.create_account(Account(id=name, name=name.title(), created_at=1.0))
    await store.accounts.create_key(key("key_1", "acct_1"))
    await store.accounts.create_key(key("key_2", "acct_2"))
    await store.ledger.open_session("sess_1", "acct_1", "key_1", 10.0)


def key(key_id: str, account_id: str, created_at: float = 2.0) -> KeyRecord:
    return KeyRecord(
        id=key_id,
        account_id=account_id,
        hash=key_id.encode().ljust(32),
        label="a label",
        created_at=created_at,
    )


async def record(store: Store, usage: TurnUsage, book: PriceBook = BOOK) -> Recorded:
    return await store.ledger.record_turn(usage, ledger_rows(usage, book))
