"""The accounts port: who pays, and the keys they call with."""

from collections.abc import Mapping
from typing import Literal, Protocol, get_args

import msgspec

from metering.plans import UNLIMITED

Scope = Literal["generate", "read", "usage", "manage"]
"""What a key is good for: to make and stop responses, and all that they are made from; to read
them; to read what was used, and what it costs; to manage the account and its keys."""

ALL_SCOPES: frozenset[Scope] = frozenset(get_args(Scope))


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Who pays. `email` is normalised, and None where nobody signs in.

    `plan` names one of the price book (see `metering.plans`).
    One that is deleted keeps its id, for the ledger's sake; its name is empty, its email gone.
    """

    id: str
    name: str
    created_at: float
    email: str | None = None
    plan: str = UNLIMITED
    deleted_at: float | None = None


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """What signing in is checked against."""

    account_id: str
    password_hash: str

    def __repr__(self) -> str:
        """Without the hash: this ends up in logs."""
        return f"Login(account_id={self.account_id!r})"


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A key as the store knows it. `hash` is the MAC of the token (see `metering.keys`)."""

    id: str
    account_id: str
    hash: bytes
    label: str
    created_at: float
    scopes: frozenset[Scope] = ALL_SCOPES
    expires_at: float | None = None
    revoked_at: float | None = None
    last_used_at: float | None = None
    successor_id: str | None = None
    """The key that takes its place, once it was rotated."""

    def valid(self, at: float) -> bool:
        """Whether it opens anything at that time."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)


class Accounts(Protocol):
    """Accounts and their keys. Any call may raise StoreUnavailable.

    What is another account's is NotFound; what a deleted account had can be read, but not changed.
    """

    async def create_account(self, account: Account, password_hash: str | None = None) -> Account:
        """Add an account; if there is one of this id, it stays as it is and is returned.

        `password_hash` goes with an email.

        Raises:
            EmailTaken: another account has this email.
        """
        ...

    async def account(self, account_id: str) -> Account: ...

    async def set_plan(self, account_id: str, plan: str) -> Account:
        """Put the account on another plan.

        Raises:
            NotFound: no such account, or it is deleted.
        """
        ...

    async def list_accounts(self, *, limit: int = 100, after: str | None = None) -> list[Account]:
        """Accounts that are not deleted, oldest first, from the one that follows `after`.

        Raises:
            NotFound: there is, or was, no account `after`.
        """
        ...

    async def find_login(self, email: str) -> Login | None:
        """What a password is checked against; None for one who has none here."""
        ...

    async def set_password(self, account_id: str, password_hash: str) -> None:
        """Replace the password of an account that has an email.

        Raises:
            NotFound: no such account, or it is deleted, or has no email.
        """
        ...

    async def delete_account(self, account_id: str, at: float) -> Account:
        """Forget who the account was: name, email, password, labels of keys, metadata of sessions.

        Its keys are revoked in the same step; no key and no session can be opened in it any more.
        Ledger and receipts stay. The first deletion's time stays.
        """
        ...

    async def unerased_accounts(self, before: float, limit: int = 100) -> list[Account]:
        """Accounts that were deleted before `before`, and not marked erased; oldest first."""
        ...

    async def mark_erased(self, account_id: str, at: float) -> None:
        """Note that nothing of a deleted account is left elsewhere. The first time stays.

        Raises:
            NotFound: no such account, or it is not deleted.
        """
        ...

    async def create_key(self, key: KeyRecord) -> KeyRecord:
        """Add a key; if there is one of this id, it stays as it is and is returned.

        Raises:
            NotFound: no such account, or it is deleted.
        """
        ...

    async def find_key(self, key_id: str) -> KeyRecord | None: ...

    async def list_keys(self, account_id: str) -> list[KeyRecord]:
        """All keys of the account, revoked ones too, oldest first."""
        ...

    async def rotate_key(self, key_id: str, successor: KeyRecord, until: float) -> KeyRecord:
        """Add a successor of the key, which itself ends at `until`, unless it does so earlier.

        If it has this successor already, nothing changes, and the successor is returned.

        Raises:
            NotFound: the successor's account has no such key.
            KeyEnded: the key was revoked, or had expired when the successor was made, or has
                another successor.
        """
        ...

    async def revoke_key(self, account_id: str, key_id: str, at: float) -> KeyRecord:
        """Make the key invalid from now on. The first revocation's time stays."""
        ...

    async def note_used(self, used: Mapping[str, float]) -> None:
        """Move `last_used_at` of these keys forward to these times; unknown keys are ignored."""
        ...
