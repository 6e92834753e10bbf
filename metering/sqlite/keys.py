"""API keys in SQLite."""

import sqlite3
from collections.abc import Mapping
from typing import cast

import msgspec

from metering.accounts import KeyRecord, Scope
from metering.errors import KeyEnded, NotFound
from metering.sqlite.database import Database
from metering.sqlite.transactions import transaction


class SqliteKeys:
    """The keys of the `Accounts` port."""

    def __init__(self, database: Database) -> None:
        self._run = database.run

    async def create_key(self, key: KeyRecord) -> KeyRecord:
        return await self._run(_create_key, key)

    async def find_key(self, key_id: str) -> KeyRecord | None:
        return await self._run(_find_key, key_id)

    async def list_keys(self, account_id: str) -> list[KeyRecord]:
        return await self._run(_list_keys, account_id)

    async def rotate_key(self, key_id: str, successor: KeyRecord, until: float) -> KeyRecord:
        return await self._run(_rotate_key, key_id, successor, until)

    async def revoke_key(self, account_id: str, key_id: str, at: float) -> KeyRecord:
        return await self._run(_revoke_key, account_id, key_id, at)

    async def note_used(self, used: Mapping[str, float]) -> None:
        await self._run(_note_used, used)


def require_active_account(db: sqlite3.Connection, account_id: str) -> None:
    """Raise NotFound unless there is such an account, and it is not deleted."""
    sql = "SELECT 1 FROM accounts WHERE id = ? AND deleted_at IS NULL"
    if db.execute(sql, (account_id,)).fetchone() is None:
        raise NotFound(f"account {account_id}")


def require_key(db: sqlite3.Connection, account_id: str, key_id: str) -> KeyRecord:
    """The account's key; raise NotFound if it has none of that id."""
    key = _find_key(db, key_id)
    if key is None or key.account_id != account_id:
        raise NotFound(f"key {key_id}")
    return key


def _create_key(db: sqlite3.Connection, key: KeyRecord) -> KeyRecord:
    with transaction(db):
        require_active_account(db, key.account_id)
        return _insert(db, key)


def _insert(db: sqlite3.Connection, key: KeyRecord) -> KeyRecord:
    values = msgspec.structs.asdict(key) | {"scopes": " ".join(sorted(key.scopes))}
    columns, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
    sql = f"INSERT INTO api_keys ({columns}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608 - names
    db.execute(sql, values)
    found = _find_key(db, key.id)
    assert found is not None
    return found


def _find_key(db: sqlite3.Connection, key_id: str) -> KeyRecord | None:
    row = db.execute("SELECT * FROM api_keys WHERE id = ?", (key_id,)).fetchone()
    return None if row is None else _record(row)


def _record(row: sqlite3.Row) -> KeyRecord:
    scopes = cast("frozenset[Scope]", frozenset(row["scopes"].split()))
    return KeyRecord(**{**dict(row), "scopes": scopes})


def _list_keys(db: sqlite3.Connection, account_id: str) -> list[KeyRecord]:
    sql = "SELECT * FROM api_keys WHERE account_id = ? ORDER BY created_at, id"
    return [_record(row) for row in db.execute(sql, (account_id,))]


def _rotate_key(
    db: sqlite3.Connection, key_id: str, successor: KeyRecord, until: float
) -> KeyRecord:
    with transaction(db):
        key = require_key(db, successor.account_id, key_id)
        if key.successor_id == successor.id:
            return require_key(db, successor.account_id, successor.id)
        if key.successor_id is not None or not key.valid(successor.created_at):
            raise KeyEnded(key_id)
        made = _insert(db, successor)
        db.execute(
            "UPDATE api_keys SET expires_at = min(coalesce(expires_at, :until), :until),"
            " successor_id = :successor_id WHERE id = :id",
            {"until": until, "id": key_id, "successor_id": successor.id},
        )
        return made


def _revoke_key(db: sqlite3.Connection, account_id: str, key_id: str, at: float) -> KeyRecord:
    with transaction(db):
        require_key(db, account_id, key_id)
        db.execute(
            "UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?", (at, key_id)
        )
        return require_key(db, account_id, key_id)


def _note_used(db: sqlite3.Connection, used: Mapping[str, float]) -> None:
    with transaction(db):
        db.executemany(
            "UPDATE api_keys SET last_used_at = max(coalesce(last_used_at, :at), :at)"
            " WHERE id = :id",
            [{"id": key_id, "at": at} for key_id, at in used.items()],
        )
