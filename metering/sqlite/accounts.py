"""Accounts and keys in SQLite."""

import sqlite3

from metering.accounts import Account, KeyRecord
from metering.errors import NotFound
from metering.sqlite.database import Database, insert, transaction


class SqliteAccounts:
    """The `Accounts` port."""

    def __init__(self, database: Database) -> None:
        self._run = database.run

    async def create_account(self, account: Account) -> Account:
        return await self._run(_create_account, account)

    async def account(self, account_id: str) -> Account:
        return await self._run(require_account, account_id)

    async def create_key(self, key: KeyRecord) -> KeyRecord:
        return await self._run(_create_key, key)

    async def find_key(self, key_id: str) -> KeyRecord | None:
        return await self._run(_find_key, key_id)

    async def list_keys(self, account_id: str) -> list[KeyRecord]:
        return await self._run(_list_keys, account_id)

    async def revoke_key(self, key_id: str, at: float) -> KeyRecord:
        return await self._run(_revoke_key, key_id, at)


def _create_account(db: sqlite3.Connection, account: Account) -> Account:
    insert(db, "accounts", account)
    return require_account(db, account.id)


def require_account(db: sqlite3.Connection, account_id: str) -> Account:
    row = db.execute("SELECT * FROM accounts WHERE id = ?", (account_id,)).fetchone()
    if row is None:
        raise NotFound(f"account {account_id}")
    return Account(**row)


def _create_key(db: sqlite3.Connection, key: KeyRecord) -> KeyRecord:
    with transaction(db):
        require_account(db, key.account_id)
        insert(db, "api_keys", key)
        return require_key(db, key.id)


def _find_key(db: sqlite3.Connection, key_id: str) -> KeyRecord | None:
    row = db.execute("SELECT * FROM api_keys WHERE id = ?", (key_id,)).fetchone()
    return None if row is None else KeyRecord(**row)


def require_key(db: sqlite3.Connection, key_id: str) -> KeyRecord:
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
    return require_key(db, key_id)
