"""How a key comes into being, and how another takes its place."""

import msgspec

from metering import keys
from metering.accounts import ALL_SCOPES, Accounts, KeyRecord, Scope
from metering.errors import NotFound


class NewKey(msgspec.Struct, frozen=True):
    """A key that was just made. `token` is for its owner's eyes only, and seen this once."""

    token: str
    record: KeyRecord

    def __repr__(self) -> str:
        """Without the secret: this ends up in logs."""
        return f"NewKey(id={self.record.id!r})"


class Issuer:
    """Makes keys whose hashes have this pepper in them."""

    def __init__(self, accounts: Accounts, pepper: bytes) -> None:
        self._accounts = accounts
        self._pepper = pepper

    async def issue(
        self,
        account_id: str,
        *,
        at: float,
        label: str = "",
        scopes: frozenset[Scope] = ALL_SCOPES,
        expires_at: float | None = None,
    ) -> NewKey:
        """Make a key for the account.

        Raises:
            NotFound: no such account.
        """
        issued = keys.issue(self._pepper)
        record = KeyRecord(
            id=issued.id,
            account_id=account_id,
            hash=issued.hash,
            label=label,
            created_at=at,
            scopes=scopes,
            expires_at=expires_at,
        )
        return NewKey(issued.token, await self._accounts.create_key(record))

    async def rotate(self, account_id: str, key_id: str, *, at: float, overlap_s: float) -> NewKey:
        """Make a key that is good for what this one is, for as long again; this one ends soon.

        Args:
            account_id: whose key it is.
            key_id: the key to be replaced.
            at: now, in Unix seconds.
            overlap_s: how long the old key stays valid.

        Raises:
            NotFound: the account has no such key.
            KeyEnded: the key is not valid any more, or was rotated before.
        """
        old = await self._accounts.find_key(key_id)
        if old is None or old.account_id != account_id:
            raise NotFound(f"key {key_id}")
        issued = keys.issue(self._pepper)
        life_s = None if old.expires_at is None else old.expires_at - old.created_at
        successor = KeyRecord(
            id=issued.id,
            account_id=account_id,
            hash=issued.hash,
            label=old.label,
            created_at=at,
            scopes=old.scopes,
            expires_at=None if life_s is None else at + life_s,
        )
        made = await self._accounts.rotate_key(key_id, successor, at + overlap_s)
        return NewKey(issued.token, made)
