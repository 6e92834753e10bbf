"""The accounts port: who pays, and the keys they call with."""

from typing import Protocol

import msgspec


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Who pays."""

    id: str
    name: str
    created_at: float


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A key as the store knows it. `hash` is the MAC of the token (see `metering.keys`)."""

    id: str
    account_id: str
    hash: bytes
    label: str
    created_at: float
    revoked_at: float | None = None


class Accounts(Protocol):
    """Accounts and their keys. Any call may raise StoreUnavailable."""

    async def create_account(self, account: Account) -> Account:
        """Add an account; if there is one of this id, it stays as it is and is returned."""
        ...

    async def account(self, account_id: str) -> Account: ...

    async def create_key(self, key: KeyRecord) -> KeyRecord:
        """Add a key; if there is one of this id, it stays as it is and is returned.

        Raises:
            NotFound: no such account.
        """
        ...

    async def find_key(self, key_id: str) -> KeyRecord | None: ...

    async def list_keys(self, account_id: str) -> list[KeyRecord]:
        """All keys of the account, revoked ones too, oldest first."""
        ...

    async def revoke_key(self, key_id: str, at: float) -> KeyRecord:
        """Make the key invalid from now on. The first revocation's time stays."""
        ...
