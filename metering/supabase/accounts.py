"""Accounts and their keys in Supabase."""

from collections.abc import Mapping

from metering.accounts import Account, KeyRecord, Login
from metering.supabase.database import Database, text


class SupabaseAccounts:
    """The `Accounts` port."""

    def __init__(self, database: Database) -> None:
        self._call = database.call
        self._find = database.find
        self._read = database.read

    async def create_account(self, account: Account, password_hash: str | None = None) -> Account:
        return await self._read(
            Account, "create_account", record=text(account), password_hash=password_hash
        )

    async def account(self, account_id: str) -> Account:
        return await self._read(Account, "account", account_id=account_id)

    async def set_plan(self, account_id: str, plan: str) -> Account:
        return await self._read(Account, "set_plan", account_id=account_id, plan=plan)

    async def list_accounts(self, *, limit: int = 100, after: str | None = None) -> list[Account]:
        return await self._read(list[Account], "list_accounts", page_size=limit, after=after)

    async def find_login(self, email: str) -> Login | None:
        return await self._find(Login, "find_login", email=email)

    async def set_password(self, account_id: str, password_hash: str) -> None:
        await self._call("set_password", account_id=account_id, password_hash=password_hash)

    async def delete_account(self, account_id: str, at: float) -> Account:
        return await self._read(Account, "delete_account", account_id=account_id, at=at)

    async def unerased_accounts(self, before: float, limit: int = 100) -> list[Account]:
        return await self._read(list[Account], "unerased_accounts", before=before, page_size=limit)

    async def mark_erased(self, account_id: str, at: float) -> None:
        await self._call("mark_erased", account_id=account_id, at=at)

    async def create_key(self, key: KeyRecord) -> KeyRecord:
        return await self._read(KeyRecord, "create_key", record=text(key))

    async def find_key(self, key_id: str) -> KeyRecord | None:
        return await self._find(KeyRecord, "find_key", key_id=key_id)

    async def list_keys(self, account_id: str) -> list[KeyRecord]:
        return await self._read(list[KeyRecord], "list_keys", account_id=account_id)

    async def rotate_key(self, key_id: str, successor: KeyRecord, until: float) -> KeyRecord:
        return await self._read(
            KeyRecord, "rotate_key", key_id=key_id, successor=text(successor), until=until
        )

    async def revoke_key(self, account_id: str, key_id: str, at: float) -> KeyRecord:
        return await self._read(
            KeyRecord, "revoke_key", account_id=account_id, key_id=key_id, at=at
        )

    async def note_used(self, used: Mapping[str, float]) -> None:
        await self._call("note_used", used=text(used))
