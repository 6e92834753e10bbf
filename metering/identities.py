"""Who signs in: the port, and the adapter that keeps passwords with the accounts."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from metering.accounts import Account, Accounts
from metering.errors import NotFound
from metering.passwords import PasswordHasher, check_strength

T = TypeVar("T")

THREADS = 2
"""Passwords that are hashed at a time; each takes 64 MiB and some 50 ms of a core."""
MAX_WAITING = 32


class WrongPassword(Exception):
    """There is no such email and password; which of both it was is not told."""


class TooBusy(Exception):
    """More passwords wait to be hashed than would be in reasonable time."""


class Identities(Protocol):
    """Proves by email and password whose account it is."""

    async def register(self, account: Account, password: str) -> Account:
        """Make the account, to which its email and this password sign in from now on.

        Args:
            account: a new one, with a normalised email.
            password: what its owner chose.

        Raises:
            WeakPassword: the password is easily guessed.
            EmailTaken: there is an account of this email.
            TooBusy: try again later.
            StoreUnavailable: it cannot be told whether it was made; the same call may be repeated.
        """
        ...

    async def sign_in(self, email: str, password: str) -> Account:
        """The account that a normalised email and a password sign in to.

        Raises:
            WrongPassword: they do not. It takes as long as if they did.
            TooBusy: try again later.
            StoreUnavailable: it cannot be told now.
        """
        ...

    async def change_password(self, account: Account, password: str, new_password: str) -> None:
        """From now on, the account's email signs in with another password.

        Args:
            account: one with an email.
            password: the one that it has, shown by whoever wants another.
            new_password: what its owner chose.

        Raises:
            WrongPassword: it has another one.
            WeakPassword: the new one is easily guessed.
            TooBusy: try again later.
            StoreUnavailable: it cannot be told whether it was changed.
        """
        ...

    async def close(self) -> None:
        """Let go of threads and connections; no call may follow."""
        ...


class LocalIdentities:
    """The `Identities` port, with argon2 and the accounts of this store."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._hasher = PasswordHasher()
        self._waiting = 0

    async def register(self, account: Account, password: str) -> Account:
        assert account.email is not None
        # Hashed before the store is asked: how long it takes says nothing about who is known.
        password_hash = await self._hash(password, account.email)
        return await self._accounts.create_account(account, password_hash)

    async def sign_in(self, email: str, password: str) -> Account:
        login = await self._accounts.find_login(email)
        kept = None if login is None else login.password_hash
        matches = await self._run(lambda: self._hasher.matches(password, kept))
        if login is None or not matches:
            raise WrongPassword
        if self._hasher.outdated(login.password_hash):
            anew = await self._run(lambda: self._hasher.hash(password))
            with contextlib.suppress(NotFound):  # It is being deleted.
                await self._accounts.set_password(login.account_id, anew)
        return await self._accounts.account(login.account_id)

    async def change_password(self, account: Account, password: str, new_password: str) -> None:
        assert account.email is not None
        if (await self.sign_in(account.email, password)).id != account.id:
            raise WrongPassword
        await self.set_password(account, new_password)

    async def set_password(self, account: Account, password: str) -> None:
        """From now on, the account's email signs in with this password: its owner forgot theirs.

        Raises:
            WeakPassword: the password is easily guessed.
            NotFound: the account is deleted, or has no email.
            TooBusy: try again later.
            StoreUnavailable: it cannot be told whether it was changed.
        """
        password_hash = await self._hash(password, account.email or "")
        await self._accounts.set_password(account.id, password_hash)

    async def close(self) -> None:
        self._threads.shutdown(wait=False)

    async def _hash(self, password: str, email: str) -> str:
        def work() -> str:
            check_strength(password, email)
            return self._hasher.hash(password)

        return await self._run(work)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= MAX_WAITING:
            raise TooBusy
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1
