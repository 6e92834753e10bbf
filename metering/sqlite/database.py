"""One SQLite file, for one host. Several processes of that host may share it.

All SQL runs on one thread of its own: the event loop never waits for the disk, and what one
process writes is in the order in which it was asked for. Each acknowledged write is on the disk
(WAL with synchronous=FULL); what is asked for while others are written shares one commit.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import msgspec

from metering.errors import StoreTooNew, StoreUnavailable
from metering.sqlite.schema import MIGRATIONS
from metering.sqlite.transactions import Outcome, Work, together, transaction

P = ParamSpec("P")
T = TypeVar("T")

WAL_RETRY_S = 0.005
PATIENCE_S = 20.0
"""A disk that stands still keeps no caller longer than this."""
MOST_AT_ONCE = 64
"""Calls that share a commit: the first of them waits for the last."""


class Database:
    """A connection and its thread. Made by `open`."""

    def __init__(self, db: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._db = db
        self._thread = thread
        self._waiting: list[tuple[Work, asyncio.Future[Any]]] = []
        self._working = False
        self._closed = False

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
            loop = asyncio.get_running_loop()
            db = await loop.run_in_executor(thread, _connect, path, busy_timeout_s)
        except sqlite3.OperationalError as error:
            thread.shutdown(wait=False)
            raise StoreUnavailable(str(error)) from error
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(db, thread)

    async def close(self) -> None:
        """After what was asked for before; nothing more can be asked for."""
        last = self._ask(_nothing)
        self._closed = True
        await last
        await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
        self._thread.shutdown()

    async def run(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Let the thread do this work on the connection.

        Raises:
            StoreUnavailable: nothing of it is written, because of the disk or another process; or
                the disk does not answer, and it may yet be.
        """
        outcome = self._ask(partial(work, self._db, *args, **kwargs))
        patience = asyncio.get_running_loop().call_later(PATIENCE_S, _give_up, outcome)
        try:
            result: T = await outcome
        finally:
            patience.cancel()
        return result

    def _ask(self, work: Work) -> asyncio.Future[Any]:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        outcome = asyncio.get_running_loop().create_future()
        self._waiting.append((work, outcome))
        if not self._working:
            self._begin_soon()
        return outcome

    def _begin_soon(self) -> None:
        """With all that is asked for in this turn of the event loop: it shares a commit."""
        self._working = True
        asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        """Let the thread do what waits; nothing of it is answered before all is on the disk."""
        # Whoever has left meanwhile wants nothing any more.
        waiting = [each for each in self._waiting if not each[1].done()]
        batch, self._waiting = waiting[:MOST_AT_ONCE], waiting[MOST_AT_ONCE:]
        done = asyncio.get_running_loop().run_in_executor(
            self._thread, together, self._db, [work for work, _ in batch]
        )
        done.add_done_callback(partial(self._answer, [outcome for _, outcome in batch]))

    def _answer(
        self, waiting: list[asyncio.Future[Any]], done: asyncio.Future[list[Outcome]]
    ) -> None:
        for outcome, (result, error) in zip(waiting, done.result(), strict=True):
            if outcome.done():
                continue
            if error is None:
                outcome.set_result(result)
            else:
                outcome.set_exception(error)
        self._working = False
        if self._waiting:
            self._begin_soon()


def _nothing() -> None:
    pass


def _give_up(outcome: asyncio.Future[Any]) -> None:
    if not outcome.done():
        outcome.set_exception(StoreUnavailable("the disk does not answer"))


def _connect(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None)
    try:
        db.row_factory = sqlite3.Row
        _set_wal(db, busy_timeout_s)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        with transaction(db):
            _migrate(db)
        db.execute("COMMIT")
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
    return db.execute(_insertion(table, tuple(values)), values).rowcount == 1


@lru_cache
def _insertion(table: str, names: tuple[str, ...]) -> str:
    columns, marks = ", ".join(names), ", ".join(f":{name}" for name in names)
    return f"INSERT INTO {table} ({columns}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608 - names
