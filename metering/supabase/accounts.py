"""Accounts and keys in Supabase."""

from metering.accounts import Account, KeyRecord
from metering.supabase.database import Database, text


class SupabaseAccounts:
    """The `Accounts` port."""

    def __init__(self, database: Database) -> None:
        self._find = database.find
        self._read = database.read

    async def create_account(self, account: Account) -> Account:
        return await self._read(Account, "create_account", record=text(account))

    async def account(self, account_id: str) -> Account:
        return await self._read(Account, "account", account_id=account_id)

    async def create_key(self, key: KeyRecord) -> KeyRecord:
        return await self._read(KeyRecord, "create_key", record=text(key))

    async def find_key(self, key_id: str) -> KeyRecord | None:
        return await self._find(KeyRecord, "find_key", key_id=key_id)

    async def list_keys(self, account_id: str) -> list[KeyRecord]:
        return await self._read(list[KeyRecord], "list_keys", account_id=account_id)

    async def revoke_key(self, key_id: str, at: float) -> KeyRecord:
        return await self._read(KeyRecord, "revoke_key", key_id=key_id, at=at)
