"""Who signs in, by Supabase Auth.

Its calls are made here: a client of theirs would keep the session of who signed in last.
"""

import asyncio
from typing import Any, Self

import httpx
import msgspec

from metering.accounts import Account
from metering.errors import EmailTaken, StoreUnavailable
from metering.identities import TooBusy, WrongPassword
from metering.passwords import WeakPassword, check_strength
from metering.supabase.connection import connect
from metering.supabase.database import Database, text

TOO_MANY_REQUESTS = 429
MAX_CONNECTIONS = 8


class _User(msgspec.Struct, frozen=True):
    """`identities` is empty where an email was taken and the project does not tell so."""

    id: str
    identities: list[Any] | None = None


class _SignedIn(msgspec.Struct, frozen=True):
    """With an access token, which is good for changing what is known of the person."""

    user: _User
    access_token: str


class _Refusal(msgspec.Struct, frozen=True):
    error_code: str = ""
    msg: str = ""


class _Refused(Exception):
    def __init__(self, refusal: _Refusal) -> None:
        super().__init__(refusal.msg)
        self.code = refusal.error_code


class SupabaseIdentities:
    """The `Identities` port. Made by `open`.

    A person of Supabase Auth has one account. Registering makes both, and may be repeated with the
    same password where only the first was made.
    """

    def __init__(self, http: httpx.AsyncClient, database: Database) -> None:
        self._http = http
        self._database = database

    @classmethod
    async def open(cls, url: str, service_key: str, *, timeout_s: float = 5.0) -> Self:
        """Reach the project; see `Database.open`."""
        database = await Database.open(url, service_key, timeout_s=timeout_s)
        http = connect(url, service_key, timeout_s=timeout_s, max_connections=MAX_CONNECTIONS)
        return cls(http, database)

    async def register(self, account: Account, password: str) -> Account:
        assert account.email is not None
        # Some 50 ms of guessing, which no token should wait for.
        await asyncio.to_thread(check_strength, password, account.email)
        person = await self._new_person(account.email, password)
        if person is None:
            person = await self._person(account.email, password)
        if person is None:
            raise EmailTaken
        registered = await self._database.read(
            Account, "register_account", record=text(account), person=person
        )
        if registered.id != account.id:
            raise EmailTaken
        return registered

    async def sign_in(self, email: str, password: str) -> Account:
        return await self._account(await self._signed_in(email, password))

    async def change_password(self, account: Account, password: str, new_password: str) -> None:
        assert account.email is not None
        signed_in = await self._signed_in(account.email, password)
        if (await self._account(signed_in)).id != account.id:
            raise WrongPassword
        await asyncio.to_thread(check_strength, new_password, account.email)
        try:
            await self._send("PUT", "user", {"password": new_password}, signed_in)
        except _Refused as refused:
            if refused.code == "same_password":
                return
            if refused.code == "weak_password":
                raise WeakPassword(str(refused)) from refused
            raise StoreUnavailable(f"user: {refused.code} {refused}") from refused

    async def close(self) -> None:
        await self._http.aclose()
        await self._database.close()

    async def _new_person(self, email: str, password: str) -> str | None:
        """None if the email is known. With or without a session, as the project wants it."""
        try:
            answer = await self._send("POST", "signup", {"email": email, "password": password})
        except _Refused as refused:
            if refused.code == "weak_password":
                raise WeakPassword(str(refused)) from refused
            if refused.code in {"user_already_exists", "email_exists"}:
                return None
            raise StoreUnavailable(f"signup: {refused.code} {refused}") from refused
        body = msgspec.json.decode(answer, type=dict[str, Any])
        user = msgspec.convert(body.get("user") or body, _User)
        return None if user.identities == [] else user.id

    async def _person(self, email: str, password: str) -> str | None:
        """Who signs in with these; None if nobody does."""
        signed_in = await self._signed_in(email, password)
        return None if signed_in is None else signed_in.user.id

    async def _signed_in(self, email: str, password: str) -> _SignedIn | None:
        try:
            answer = await self._send(
                "POST", "token?grant_type=password", {"email": email, "password": password}
            )
        except _Refused:
            return None
        return msgspec.json.decode(answer, type=_SignedIn)

    async def _account(self, signed_in: _SignedIn | None) -> Account:
        if signed_in is None:
            raise WrongPassword
        account = await self._database.find(Account, "account_of", person=signed_in.user.id)
        if account is None:
            raise WrongPassword
        return account

    async def _send(
        self, method: str, path: str, body: dict[str, str], who: _SignedIn | None = None
    ) -> bytes:
        """Ask Supabase Auth, in the name of this person or else in the server's."""
        headers = {"authorization": f"Bearer {who.access_token}"} if who else None
        try:
            answer = await self._http.request(
                method, f"/auth/v1/{path}", json=body, headers=headers
            )
        except httpx.HTTPError as error:
            raise StoreUnavailable(f"{path}: {error or type(error).__name__}") from error
        if answer.is_success:
            return answer.content
        if answer.status_code == TOO_MANY_REQUESTS:
            raise TooBusy
        if answer.is_server_error:
            raise StoreUnavailable(f"{path}: {answer.status_code} {answer.text[:200]}")
        raise _Refused(msgspec.json.decode(answer.content, type=_Refusal))
