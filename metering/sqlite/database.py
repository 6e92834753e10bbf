"""One SQLite file, for one host. Several processes of that host may share it.

All SQL runs on one thread of its own: the event loop never waits for the disk, and what one
process writes is in the order in which it was asked for. Each acknowledged write is on the disk
(WAL with synchronous=FULL).
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, Self, TypeVar

import msgspec

from metering.errors import StoreTooNew, StoreUnavailable
from metering.sqlite.schema import MIGRATIONS

P = ParamSpec("P")
T = TypeVar("T")

WAL_RETRY_S = 0.005


class Database:
    """A connection and its thread. Made by `open`."""

    def __init__(self, db: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._db = db
        self._thread = thread

    @classmethod
    async def open(cls, path: Path, *, busy_timeout_s: float = 5.0) -> Self:
        """Open the file, made and migrated as needed.

        Args:
            path: the database; its directory must exist and be on a local disk.
            busy_timeout_s: how long a write waits for another process's.

        Raises:
            StoreTooNew: a newer version of this program migrated the file.
            StoreUnavailable: it cannot be opened.
        """
        thread = ThreadPoolExecutor(1, thread_name_prefix="metering")
        try:
            with _as_unavailable():
                loop = asyncio.get_running_loop()
                db = await loop.run_in_executor(thread, _connect, path, busy_timeout_s)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(db, thread)

    async def close(self) -> None:
        await self.run(sqlite3.Connection.close)
        self._thread.shutdown()

    async def run(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Let the thread do this work on the connection."""

        def call() -> T:
            with _as_unavailable():
                return work(self._db, *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


@contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(str(error)) from error


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    # IMMEDIATE: a transaction that reads first and writes later could not be made to wait for
    # another process's write; SQLite would refuse it at once (lang_transaction, section 2.2).
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _connect(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None)
    try:
        db.row_factory = sqlite3.Row
        _set_wal(db, busy_timeout_s)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        with transaction(db):
            _migrate(db)
    except BaseException:
        db.close()
        raise
    return db


def _set_wal(db: sqlite3.Connection, timeout_s: float) -> None:
    # Two processes that open a new file at once may both want its exclusive lock; SQLite then
    # fails one of them without waiting, for fear of a deadlock (sqlite3_busy_handler). Wait here.
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(WAL_RETRY_S)
        else:
            return


def _migrate(db: sqlite3.Connection) -> None:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise StoreTooNew(f"schema {version}, this program knows {len(MIGRATIONS)}")
    for statement in (statement for step in MIGRATIONS[version:] for statement in step):
        db.execute(statement)
    if version < len(MIGRATIONS):
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def insert(
    db: sqlite3.Connection, table: str, record: msgspec.Struct, **more: int | str | None
) -> bool:
    """Insert a record whose fields are the table's columns; False if it is there already."""
    values = msgspec.structs.asdict(record) | more
    columns, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
    sql = f"INSERT INTO {table} ({columns}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608 - names
    return db.execute(sql, values).rowcount == 1
