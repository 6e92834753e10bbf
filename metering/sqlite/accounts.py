"""Accounts and who signs in to them, in SQLite; with their keys the `Accounts` port."""

import sqlite3

from metering.accounts import Account, Login
from metering.errors import EmailTaken, NotFound
from metering.sqlite.database import insert
from metering.sqlite.keys import SqliteKeys
from metering.sqlite.transactions import transaction

_COLUMNS = ", ".join(Account.__struct_fields__)
_ACCOUNT = f"SELECT {_COLUMNS} FROM accounts"  # noqa: S608 - names


class SqliteAccounts(SqliteKeys):
    """The `Accounts` port."""

    async def create_account(self, account: Account, password_hash: str | None = None) -> Account:
        return await self._run(_create_account, account, password_hash)

    async def account(self, account_id: str) -> Account:
        return await self._run(require_account, account_id)

    async def set_plan(self, account_id: str, plan: str) -> Account:
        return await self._run(_set_plan, account_id, plan)

    async def list_accounts(self, *, limit: int = 100, after: str | None = None) -> list[Account]:
        return await self._run(_list_accounts, limit, after)

    async def find_login(self, email: str) -> Login | None:
        return await self._run(_find_login, email)

    async def set_password(self, account_id: str, password_hash: str) -> None:
        await self._run(_set_password, account_id, password_hash)

    async def delete_account(self, account_id: str, at: float) -> Account:
        return await self._run(_delete_account, account_id, at)

    async def unerased_accounts(self, before: float, limit: int = 100) -> list[Account]:
        return await self._run(_unerased_accounts, before, limit)

    async def mark_erased(self, account_id: str, at: float) -> None:
        await self._run(_mark_erased, account_id, at)


def _create_account(db: sqlite3.Connection, account: Account, password_hash: str | None) -> Account:
    with transaction(db):
        if not insert(db, "accounts", account, password_hash=password_hash):
            found = db.execute(f"{_ACCOUNT} WHERE id = ?", (account.id,)).fetchone()
            if found is None:
                raise EmailTaken
            return Account(**found)
        return account


def require_account(db: sqlite3.Connection, account_id: str) -> Account:
    row = db.execute(f"{_ACCOUNT} WHERE id = ?", (account_id,)).fetchone()
    if row is None:
        raise NotFound(f"account {account_id}")
    return Account(**row)


def _set_plan(db: sqlite3.Connection, account_id: str, plan: str) -> Account:
    with transaction(db):
        changed = db.execute(
            "UPDATE accounts SET plan = ? WHERE id = ? AND deleted_at IS NULL", (plan, account_id)
        )
        if changed.rowcount == 0:
            raise NotFound(f"account {account_id}")
        return require_account(db, account_id)


def _list_accounts(db: sqlite3.Connection, limit: int, after: str | None) -> list[Account]:
    created_at = None if after is None else require_account(db, after).created_at
    rows = db.execute(
        f"{_ACCOUNT} WHERE deleted_at IS NULL"
        " AND (:after IS NULL OR (created_at, id) > (:created_at, :after))"
        " ORDER BY created_at, id LIMIT :limit",
        {"created_at": created_at, "after": after, "limit": limit},
    )
    return [Account(**row) for row in rows]


def _find_login(db: sqlite3.Connection, email: str) -> Login | None:
    row = db.execute(
        "SELECT id AS account_id, password_hash FROM accounts"
        " WHERE email = ? AND password_hash IS NOT NULL",
        (email,),
    ).fetchone()
    return None if row is None else Login(**row)


def _set_password(db: sqlite3.Connection, account_id: str, password_hash: str) -> None:
    changed = db.execute(
        "UPDATE accounts SET password_hash = ? WHERE id = ? AND email IS NOT NULL",
        (password_hash, account_id),
    )
    if not changed.rowcount:
        raise NotFound(f"account {account_id}")


def _delete_account(db: sqlite3.Connection, account_id: str, at: float) -> Account:
    with transaction(db):
        db.execute(
            "UPDATE accounts SET deleted_at = coalesce(deleted_at, ?), name = '', email = NULL,"
            " password_hash = NULL WHERE id = ?",
            (at, account_id),
        )
        db.execute(
            "UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?), label = ''"
            " WHERE account_id = ?",
            (at, account_id),
        )
        db.execute("UPDATE sessions SET metadata = '{}' WHERE account_id = ?", (account_id,))
        return require_account(db, account_id)


def _unerased_accounts(db: sqlite3.Connection, before: float, limit: int) -> list[Account]:
    rows = db.execute(
        f"{_ACCOUNT} WHERE deleted_at < ? AND erased_at IS NULL ORDER BY deleted_at, id LIMIT ?",
        (before, limit),
    )
    return [Account(**row) for row in rows]


def _mark_erased(db: sqlite3.Connection, account_id: str, at: float) -> None:
    changed = db.execute(
        "UPDATE accounts SET erased_at = coalesce(erased_at, ?)"
        " WHERE id = ? AND deleted_at IS NOT NULL",
        (at, account_id),
    )
    if not changed.rowcount:
        raise NotFound(f"deleted account {account_id}")
