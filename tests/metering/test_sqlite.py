"""What is SQLite's own: files, migrations, several processes, crashes."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from itertools import count
from pathlib import Path

import msgspec
import pytest

from metering.accounts import Account
from metering.errors import StoreTooNew, StoreUnavailable
from metering.ledger import Recorded, SessionRecord
from metering.sqlite import database as database_module
from metering.sqlite.database import Database
from metering.sqlite.schema import MIGRATIONS
from metering.sqlite.store import open_sqlite, sqlite_store
from metering.usage import ledger_rows
from tests.metering.samples import BOOK, turn

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A file with an account and an open session."""
    path = tmp_path / "metering.db"
    store = await open_sqlite(path)
    await store.accounts.create_account(Account(id="acct_1", name="Test", created_at=1.0))
    await store.ledger.open_session("sess_1", "acct_1", None, 1.0)
    await store.close()
    return path


def start(*command: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.metering.store_process", *map(str, command)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def go(processes: list[subprocess.Popen[str]]) -> list[list[str]]:
    """Release processes that wait on stdin, all at once; what each of them said."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=30)[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return outputs


async def test_a_file_keeps_what_was_written(path: Path) -> None:
    store = await open_sqlite(path)
    assert (await store.ledger.session("acct_1", "sess_1")).state == "open"
    await store.close()


def pragma(db: sqlite3.Connection, name: str) -> object:
    return db.execute(f"PRAGMA {name}").fetchone()[0]


async def test_each_write_is_synced_and_keys_are_enforced(path: Path) -> None:
    database = await Database.open(path)
    names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "user_version")
    pragmas = [await database.run(pragma, name) for name in names]
    await database.close()
    assert pragmas == ["wal", 2, 1, 5000, len(MIGRATIONS)]


async def test_a_file_of_a_newer_program_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreTooNew, match="schema 99"):
        await open_sqlite(path)


async def test_an_older_file_takes_the_missing_steps(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = ("ALTER TABLE accounts ADD COLUMN note TEXT", "UPDATE accounts SET note = 'moved'")
    monkeypatch.setattr(database_module, "MIGRATIONS", (*MIGRATIONS, step))
    for _ in range(2):
        await (await open_sqlite(path)).close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT note FROM accounts").fetchall() == [("moved",)]


async def test_a_failed_step_leaves_the_file_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = ("DROP TABLE usage_records", "SELECT no_such_column")
    with monkeypatch.context() as patch:
        patch.setattr(database_module, "MIGRATIONS", (*MIGRATIONS, step))
        with pytest.raises(StoreUnavailable):
            await open_sqlite(path)
    store = await open_sqlite(path)
    assert await store.ledger.rows("acct_1", "sess_1") == []
    await store.close()


async def test_a_path_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        await open_sqlite(tmp_path / "missing" / "metering.db")


async def test_a_write_that_waits_too_long_for_another_is_refused_then_repeated(
    path: Path,
) -> None:
    store = await open_sqlite(path, busy_timeout_s=0)
    rows = ledger_rows(turn(), BOOK)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            await store.ledger.record_turn(turn(), rows)
        assert await store.ledger.rows("acct_1", "sess_1") == []  # readers do not wait
        other.execute("ROLLBACK")
    assert await store.ledger.record_turn(turn(), rows) is Recorded.NEW
    await store.close()


async def test_a_full_disk_leaves_no_half_of_a_turn(path: Path) -> None:
    database = await Database.open(path)
    store = sqlite_store(database)
    await database.run(lambda db: db.execute("PRAGMA max_page_count = 1"))
    acknowledged = 0

    async def fill() -> None:
        nonlocal acknowledged
        for acknowledged in count():
            usage = turn(f"resp_{acknowledged}", images=1)
            await store.ledger.record_turn(usage, ledger_rows(usage, BOOK))

    with pytest.raises(StoreUnavailable, match="full"):
        await fill()
    await database.run(lambda db: db.execute("PRAGMA max_page_count = 10000"))
    assert len(await store.ledger.rows("acct_1", "sess_1")) == 2 * acknowledged
    usage = turn(f"resp_{acknowledged}", images=1)
    assert await store.ledger.record_turn(usage, ledger_rows(usage, BOOK)) is Recorded.NEW
    await store.close()


async def test_a_disk_that_stands_still_keeps_nobody_for_ever(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "PATIENCE_S", 0.01)
    database = await Database.open(path)
    moves = threading.Event()
    for _ in range(2):  # Whoever it happens to, and those behind.
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await database.run(lambda _db: moves.wait())
    moves.set()
    monkeypatch.setattr(database_module, "PATIENCE_S", 60)
    assert await database.run(lambda db: db.execute("SELECT 1").fetchone()[0]) == 1
    await database.close()


async def test_a_cancelled_caller_leaves_the_store_whole(path: Path) -> None:
    store = await open_sqlite(path)
    calls = [
        asyncio.create_task(store.ledger.record_turn(usage, ledger_rows(usage, BOOK)))
        for usage in (turn(f"resp_{number}") for number in range(10))
    ]
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    sums = await store.ledger.session_usage("acct_1", "sess_1")
    assert len(await store.ledger.rows("acct_1", "sess_1")) == sums.turns
    await store.close()


async def test_the_schema_refuses_a_row_that_does_not_multiply_out(path: Path) -> None:
    store = await open_sqlite(path)
    (row,) = ledger_rows(turn(), BOOK)
    wrong = msgspec.structs.replace(row, cost_micro_usd=row.cost_micro_usd - 1)
    with pytest.raises(sqlite3.IntegrityError):
        await store.ledger.record_turn(turn(), (wrong,))
    assert (await store.ledger.session_usage("acct_1", "sess_1")).turns == 0
    await store.close()


@pytest.mark.parametrize("acknowledged", [1, 7, 40])
async def test_a_killed_process_loses_nothing_that_it_acknowledged(
    path: Path, acknowledged: int
) -> None:
    process = start("record", path, 1_000_000)
    assert process.stdout is not None
    said = [process.stdout.readline().strip() for _ in range(acknowledged)]
    process.kill()
    # Not communicate(): it would not see what readline() has read ahead.
    said += process.stdout.read().split()
    process.communicate(timeout=30)

    store = await open_sqlite(path)
    rows = await store.ledger.rows("acct_1", "sess_1")
    kept = {row.response_id for row in rows}
    assert kept >= set(said)
    assert len(kept) <= len(said) + 1  # one may have been written and not yet said
    assert len(rows) == 2 * len(kept)
    assert (await store.ledger.session_usage("acct_1", "sess_1")).turns == len(kept)
    await store.close()


async def test_a_kill_at_any_statement_leaves_all_of_a_turn_or_nothing(path: Path) -> None:
    usage = turn(images=1, detections=1)
    rows = ledger_rows(usage, BOOK)
    deaths = 0
    for statement in count():
        process = start("die", path, statement)
        survived = process.communicate(timeout=30)[0] == "acknowledged\n"
        store = await open_sqlite(path)
        kept = await store.ledger.rows("acct_1", "sess_1")
        turns = (await store.ledger.session_usage("acct_1", "sess_1")).turns
        state = (await store.ledger.session("acct_1", "sess_1")).state
        owed = len(await store.outbox.rows("acct_1", "sess_1"))
        if survived:
            assert await store.ledger.record_turn(usage, rows) is Recorded.AGAIN
        await store.close()
        if survived:
            assert (kept, turns, state, owed) == (list(rows), 1, "closed", 3)
            break
        deaths += 1
        assert (kept, turns, state, owed) == ([], 0, "open", 0)
    # BEGIN, the session, the hold, the turn, its cost, three rows, last seen; for the receipt the
    # rows read, what is owed, the session closed; COMMIT.
    assert deaths == 13


async def test_a_kill_at_any_statement_closes_with_receipt_and_outbox_or_not_at_all(
    path: Path,
) -> None:
    usage = turn(images=1)
    store = await open_sqlite(path)
    await store.ledger.record_turn(usage, ledger_rows(usage, BOOK))
    await store.close()
    for statement in count():
        process = start("die_closing", path, statement)
        survived = process.communicate(timeout=30)[0] == "acknowledged\n"
        store = await open_sqlite(path)
        session = await store.ledger.session("acct_1", "sess_1")
        owed = [row.units for row in await store.outbox.rows("acct_1", "sess_1")]
        await store.close()
        if survived:
            assert (session.state, owed) == ("closed", [1, 132])
            break
        assert (session.state, session.receipt, owed) == ("open", None, [])
    # BEGIN, the session, its rows, the outbox, the session closed, COMMIT.
    assert statement == 6


async def test_what_was_used_before_there_was_an_outbox_is_owed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "metering.db"
    with closing(sqlite3.connect(path)) as db:
        for statement in (each for step in MIGRATIONS[:2] for each in step):
            db.execute(statement)
        db.execute("PRAGMA user_version = 2")
        db.execute("INSERT INTO accounts VALUES ('acct_1', 'Test', 1.0)")
        for session_id, state in (("sess_closed", "closed"), ("sess_open", "open")):
            db.execute(
                "INSERT INTO sessions (id, account_id, state, segment, opened_at, last_seen_at,"
                " receipt) VALUES (?, 'acct_1', ?, ?, 1.0, 1.0, ?)",
                (session_id, state, state == "closed", "null" if state == "closed" else None),
            )
            for number in (1, 2):
                response_id = f"resp_{session_id}_{number}"
                db.execute(
                    "INSERT INTO turns VALUES (?, ?, 'acct_1', 0, 'kosmos-x', 1, 0, 1, 0, 0, 9.5)",
                    (response_id, session_id),
                )
                db.execute(
                    "INSERT INTO usage_records VALUES"
                    " (?, 'tokens', ?, 'acct_1', 0, 2, 100, 200, 20000, 'v', 9.5)",
                    (response_id, session_id),
                )
        db.commit()
    store = await open_sqlite(path)
    (owed,) = await store.outbox.rows("acct_1", "sess_closed")
    assert (owed.id, owed.units, owed.timestamp) == ("kx:sess_closed:0:tokens", 200, 9)
    assert await store.outbox.rows("acct_1", "sess_open") == []
    assert await store.ledger.cut_segments(4000.0) == 1
    (owed,) = await store.outbox.rows("acct_1", "sess_open")
    assert (owed.units, owed.cost_micro_usd) == (200, 40_000)
    await store.close()


async def test_two_processes_that_close_at_once_make_one_receipt(path: Path) -> None:
    sessions = 30
    store = await open_sqlite(path)
    for number in range(sessions):
        await store.ledger.open_session(f"sess_{number}", "acct_1", None, 1.0)
        usage = turn(f"resp_{number}", session_id=f"sess_{number}")
        await store.ledger.record_turn(usage, ledger_rows(usage, BOOK))
    outputs = go([start("close", path, sessions, name) for name in ("left", "right")])
    left, right = ([msgspec.json.decode(o, type=SessionRecord) for o in out] for out in outputs)
    assert len(left) == sessions
    assert (
        left
        == right
        == [await store.ledger.session("acct_1", f"sess_{n}") for n in range(sessions)]
    )
    await store.close()


def test_processes_that_make_a_file_at_once_all_succeed(tmp_path: Path) -> None:
    go([start("open", tmp_path / "metering.db") for _ in range(4)])


class BusyFile:
    """A connection that is refused the exclusive lock twice, as when two processes make a file."""

    refusals = 2

    def execute(self, sql: str) -> None:
        assert sql == "PRAGMA journal_mode = WAL"
        self.refusals -= 1
        if self.refusals >= 0:
            raise sqlite3.OperationalError("database is locked")


def test_the_change_to_wal_is_tried_until_it_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "WAL_RETRY_S", 0)
    busy = BusyFile()
    database_module._set_wal(busy, timeout_s=60)  # type: ignore[arg-type]
    assert busy.refusals == -1


def test_the_change_to_wal_is_not_tried_for_ever() -> None:
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        database_module._set_wal(BusyFile(), timeout_s=0)  # type: ignore[arg-type]
