"""The store in one SQLite file, for one host. Several processes of that host may share the file.

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

from metering.receipt import Receipt, receipt
from metering.sqlite_schema import MIGRATIONS
from metering.store import (
    Account,
    KeyRecord,
    NotFound,
    Recorded,
    SessionClosed,
    SessionRecord,
    SessionState,
    SessionUsage,
    StoreTooNew,
    StoreUnavailable,
    check_rows,
)
from metering.usage import LedgerRow, TurnUsage

P = ParamSpec("P")
T = TypeVar("T")

WAL_RETRY_S = 0.005


class SqliteStore:
    """The `Store` port on `sqlite3`. Made by `open`."""

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
        await self._run(sqlite3.Connection.close)
        self._thread.shutdown()

    async def create_account(self, account: Account) -> Account:
        return await self._run(_create_account, account)

    async def account(self, account_id: str) -> Account:
        return await self._run(_account, account_id)

    async def create_key(self, key: KeyRecord) -> KeyRecord:
        return await self._run(_create_key, key)

    async def find_key(self, key_id: str) -> KeyRecord | None:
        return await self._run(_find_key, key_id)

    async def list_keys(self, account_id: str) -> list[KeyRecord]:
        return await self._run(_list_keys, account_id)

    async def revoke_key(self, key_id: str, at: float) -> KeyRecord:
        return await self._run(_revoke_key, key_id, at)

    async def open_session(
        self,
        session_id: str,
        account_id: str,
        key_id: str | None,
        at: float,
        *,
        metadata: dict[str, str] | None = None,
    ) -> SessionRecord:
        return await self._run(
            _open_session, session_id, account_id, key_id, at, metadata=metadata or {}
        )

    async def session(self, account_id: str, session_id: str) -> SessionRecord:
        return await self._run(_session, account_id, session_id)

    async def list_sessions(
        self,
        account_id: str,
        *,
        limit: int = 20,
        after: str | None = None,
        state: SessionState | None = None,
    ) -> list[SessionRecord]:
        return await self._run(_list_sessions, account_id, limit, after, state)

    async def touch(self, account_id: str, session_id: str, at: float) -> None:
        await self._run(_touch, account_id, session_id, at)

    async def record_turn(self, usage: TurnUsage, rows: tuple[LedgerRow, ...]) -> Recorded:
        check_rows(usage, rows)
        return await self._run(_record_turn, usage, rows)

    async def ledger(self, account_id: str, session_id: str) -> list[LedgerRow]:
        return await self._run(_ledger, account_id, session_id)

    async def session_usage(self, account_id: str, session_id: str) -> SessionUsage:
        return await self._run(_session_usage, account_id, session_id)

    async def close_session(
        self,
        account_id: str,
        session_id: str,
        at: float,
        reason: str,
        *,
        idle_before: float | None = None,
    ) -> SessionRecord:
        return await self._run(
            _close_session, account_id, session_id, at, reason, idle_before=idle_before
        )

    async def idle_sessions(self, before: float, limit: int = 100) -> list[SessionRecord]:
        return await self._run(_idle_sessions, before, limit)

    async def _run(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
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
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
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
        with _transaction(db):
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


def _create_account(db: sqlite3.Connection, account: Account) -> Account:
    _insert(db, "accounts", account)
    return _account(db, account.id)


def _account(db: sqlite3.Connection, account_id: str) -> Account:
    row = db.execute("SELECT * FROM accounts WHERE id = ?", (account_id,)).fetchone()
    if row is None:
        raise NotFound(f"account {account_id}")
    return Account(**row)


def _create_key(db: sqlite3.Connection, key: KeyRecord) -> KeyRecord:
    with _transaction(db):
        _account(db, key.account_id)
        _insert(db, "api_keys", key)
        return _key(db, key.id)


def _find_key(db: sqlite3.Connection, key_id: str) -> KeyRecord | None:
    row = db.execute("SELECT * FROM api_keys WHERE id = ?", (key_id,)).fetchone()
    return None if row is None else KeyRecord(**row)


def _key(db: sqlite3.Connection, key_id: str) -> KeyRecord:
    key = _find_key(db, key_id)
    if key is None:
        raise NotFound(f"key {key_id}")
    return key


def _list_keys(db: sqlite3.Connection, account_id: str) -> list[KeyRecord]:
    sql = "SELECT * FROM api_keys WHERE account_id = ? ORDER BY created_at, id"
    return [KeyRecord(**row) for row in db.execute(sql, (account_id,))]


def _revoke_key(db: sqlite3.Connection, key_id: str, at: float) -> KeyRecord:
    db.execute(
        "UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?", (at, key_id)
    )
    return _key(db, key_id)


def _open_session(
    db: sqlite3.Connection,
    session_id: str,
    account_id: str,
    key_id: str | None,
    at: float,
    *,
    metadata: dict[str, str],
) -> SessionRecord:
    with _transaction(db):
        _account(db, account_id)
        if key_id is not None and _key(db, key_id).account_id != account_id:
            raise NotFound(f"key {key_id}")
        db.execute(
            "INSERT INTO sessions (id, account_id, key_id, opened_at, last_seen_at, metadata)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
            (session_id, account_id, key_id, at, at, msgspec.json.encode(metadata).decode()),
        )
        return _session(db, account_id, session_id)


def _session(db: sqlite3.Connection, account_id: str, session_id: str) -> SessionRecord:
    sql = "SELECT * FROM sessions WHERE id = ? AND account_id = ?"
    row = db.execute(sql, (session_id, account_id)).fetchone()
    if row is None:
        raise NotFound(f"session {session_id}")
    return _session_record(row)


def _session_record(row: sqlite3.Row) -> SessionRecord:
    stored = row["receipt"]
    kept = None if stored is None else msgspec.json.decode(stored, type=Receipt)
    metadata = msgspec.json.decode(row["metadata"], type=dict[str, str])
    return SessionRecord(**{**dict(row), "receipt": kept, "metadata": metadata})


def _list_sessions(
    db: sqlite3.Connection,
    account_id: str,
    limit: int,
    after: str | None,
    state: SessionState | None,
) -> list[SessionRecord]:
    opened_at = None if after is None else _session(db, account_id, after).opened_at
    rows = db.execute(
        "SELECT * FROM sessions WHERE account_id = :account_id"
        " AND (:state IS NULL OR state = :state)"
        " AND (:after IS NULL OR (opened_at, id) < (:opened_at, :after))"
        " ORDER BY opened_at DESC, id DESC LIMIT :limit",
        {
            "account_id": account_id,
            "state": state,
            "opened_at": opened_at,
            "after": after,
            "limit": limit,
        },
    )
    return [_session_record(row) for row in rows]


def _touch(db: sqlite3.Connection, account_id: str, session_id: str, at: float) -> None:
    with _transaction(db):
        if _session(db, account_id, session_id).state == "closed":
            raise SessionClosed(f"session {session_id}")
        _seen(db, session_id, at)


def _seen(db: sqlite3.Connection, session_id: str, at: float) -> None:
    sql = "UPDATE sessions SET last_seen_at = max(last_seen_at, ?) WHERE id = ?"
    db.execute(sql, (at, session_id))


def _record_turn(db: sqlite3.Connection, usage: TurnUsage, rows: tuple[LedgerRow, ...]) -> Recorded:
    with _transaction(db):
        session = _session(db, usage.account_id, usage.session_id)
        if not _insert(db, "turns", usage, segment=session.segment):
            return Recorded.AGAIN
        for row in rows:
            _insert(db, "usage_records", row, segment=session.segment)
        _seen(db, usage.session_id, usage.at)
    return Recorded.LATE if session.state == "closed" else Recorded.NEW


def _ledger(db: sqlite3.Connection, account_id: str, session_id: str) -> list[LedgerRow]:
    _session(db, account_id, session_id)
    rows = db.execute(
        f"SELECT {', '.join(LedgerRow.__struct_fields__)} FROM usage_records"  # noqa: S608 - names
        " WHERE session_id = ? ORDER BY created_at, response_id, rowid",
        (session_id,),
    )
    return [LedgerRow(**row) for row in rows]


def _session_usage(db: sqlite3.Connection, account_id: str, session_id: str) -> SessionUsage:
    _session(db, account_id, session_id)
    # One statement, so that all sums are of the same moment.
    row = db.execute(_SESSION_USAGE, {"session_id": session_id}).fetchone()
    return SessionUsage(**row)


_SESSION_USAGE = """
    SELECT
        count(*) AS turns,
        coalesce(sum(input_tokens), 0) AS input_tokens,
        coalesce(sum(cached_tokens), 0) AS cached_tokens,
        coalesce(sum(output_tokens), 0) AS output_tokens,
        coalesce(sum(images), 0) AS images,
        coalesce(sum(detections), 0) AS detections,
        (
            SELECT coalesce(sum(cost_micro_usd), 0) FROM usage_records
            WHERE session_id = :session_id
        ) AS cost_micro_usd,
        (
            SELECT coalesce(sum(cost_micro_usd), 0)
            FROM usage_records JOIN sessions ON sessions.id = usage_records.session_id
            WHERE sessions.id = :session_id AND sessions.state = 'closed'
                AND usage_records.segment >= sessions.segment
        ) AS late_micro_usd
    FROM turns WHERE session_id = :session_id
"""


def _close_session(
    db: sqlite3.Connection,
    account_id: str,
    session_id: str,
    at: float,
    reason: str,
    *,
    idle_before: float | None,
) -> SessionRecord:
    with _transaction(db):
        session = _session(db, account_id, session_id)
        in_use = idle_before is not None and session.last_seen_at >= idle_before
        if session.state == "closed" or in_use:
            return session
        final = msgspec.json.encode(receipt(_ledger(db, account_id, session_id))).decode()
        db.execute(
            "UPDATE sessions SET state = 'closed', segment = segment + 1, closed_at = ?,"
            " close_reason = ?, receipt = ? WHERE id = ? AND state = 'open'",
            (at, reason, final, session_id),
        )
        return _session(db, account_id, session_id)


def _idle_sessions(db: sqlite3.Connection, before: float, limit: int) -> list[SessionRecord]:
    sql = (
        "SELECT * FROM sessions WHERE state = 'open' AND last_seen_at < ?"
        " ORDER BY last_seen_at, id LIMIT ?"
    )
    return [_session_record(row) for row in db.execute(sql, (before, limit))]


def _insert(db: sqlite3.Connection, table: str, record: msgspec.Struct, **more: int) -> bool:
    """Insert a record whose fields are the table's columns; False if its key is there already."""
    values = msgspec.structs.asdict(record) | more
    columns, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
    sql = f"INSERT INTO {table} ({columns}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608 - names
    return db.execute(sql, values).rowcount == 1
