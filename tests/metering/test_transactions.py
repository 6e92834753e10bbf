"""Callers share a commit, and nothing else."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from metering.accounts import Account
from metering.errors import StoreUnavailable
from metering.ledger import Recorded
from metering.sqlite.database import Database
from metering.sqlite.store import sqlite_store
from metering.sqlite.transactions import together, transaction
from metering.usage import TurnUsage, ledger_rows
from tests.metering.samples import BOOK, turn


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("CREATE TABLE parts (n INTEGER PRIMARY KEY)")
        db.execute(
            "CREATE TABLE promises (n INTEGER REFERENCES parts (n) DEFERRABLE INITIALLY DEFERRED)"
        )
        yield db


def write(db: sqlite3.Connection, *numbers: int, table: str = "parts") -> int:
    with transaction(db):
        for number in numbers:
            db.execute(f"INSERT INTO {table} VALUES (?)", (number,))
    return len(numbers)


def read(db: sqlite3.Connection) -> list[int]:
    return [row[0] for row in db.execute("SELECT n FROM parts ORDER BY n")]


def commits(db: sqlite3.Connection) -> Callable[[], int]:
    """How many there were from now on."""
    said: list[str] = []
    db.set_trace_callback(said.append)
    return lambda: said.count("COMMIT")


def test_many_writes_are_one_commit(db: sqlite3.Connection) -> None:
    committed = commits(db)
    outcomes = together(db, [partial(write, db, n, n + 1) for n in (1, 3, 5)])
    assert outcomes == [(2, None)] * 3
    assert (committed(), read(db), db.in_transaction) == (1, [1, 2, 3, 4, 5, 6], False)


def test_reading_alone_is_no_transaction(db: sqlite3.Connection) -> None:
    committed = commits(db)
    assert together(db, [partial(read, db)] * 2) == [([], None)] * 2
    assert committed() == 0


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_what_fails_takes_nothing_with_it(db: sqlite3.Connection, failing: int) -> None:
    works = [partial(write, db, 10 * n) for n in (1, 2)]
    works.insert(failing, partial(write, db, 7, 7))
    outcomes = together(db, works)
    assert isinstance(outcomes.pop(failing)[1], sqlite3.IntegrityError)
    assert outcomes == [(1, None)] * 2
    assert read(db) == [10, 20]


def test_nobody_is_told_of_what_could_not_be_committed(db: sqlite3.Connection) -> None:
    broken = partial(write, db, 404, table="promises")  # Found out at the commit.
    outcomes = together(db, [partial(read, db), partial(write, db, 1), broken, partial(read, db)])
    assert outcomes[0] == ([], None)
    assert [type(error) for _, error in outcomes[1:]] == [StoreUnavailable] * 3
    assert (read(db), db.in_transaction) == ([], False)


def test_on_a_full_disk_what_was_acknowledged_is_there(db: sqlite3.Connection) -> None:
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages + 4}")
    works = [partial(write, db, *range(n, n + 500)) for n in range(1, 5001, 500)]
    outcomes = together(db, works)
    kept = [500 * n + 1 for n, (_, error) in enumerate(outcomes) if error is None]
    assert any(isinstance(error, StoreUnavailable) for _, error in outcomes)
    assert read(db) == [n for first in kept for n in range(first, first + 500)]


def test_a_transaction_that_sqlite_undid_is_nobodys(db: sqlite3.Connection) -> None:
    def undone() -> None:
        db.execute("ROLLBACK")  # As SQLite does by itself where a page cannot be written.
        raise sqlite3.OperationalError("disk I/O error")

    outcomes = together(db, [partial(write, db, 1), undone, partial(write, db, 2)])
    assert [type(error) for _, error in outcomes] == [
        StoreUnavailable,
        StoreUnavailable,
        type(None),
    ]
    assert read(db) == [2]


async def test_turns_that_end_at_once_share_commits(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "metering.db")
    store = sqlite_store(database)
    await store.accounts.create_account(Account(id="acct_1", name="Test", created_at=1.0))
    await store.ledger.open_session("sess_1", "acct_1", None, 1.0)
    committed = await database.run(commits)

    async def touch_and_record(usage: TurnUsage) -> Recorded:
        await store.ledger.touch("acct_1", "sess_1", usage.at)
        return await store.ledger.record_turn(usage, ledger_rows(usage, BOOK))

    turns = [turn(f"resp_{n}") for n in range(50)]
    recorded = await asyncio.gather(*map(touch_and_record, turns))
    assert (set(recorded), committed()) == ({Recorded.NEW}, 2)
    assert (await store.ledger.session_usage("acct_1", "sess_1")).turns == 50
    await store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.ledger.session_usage("acct_1", "sess_1")
