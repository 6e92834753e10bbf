"""Accounts on the wire: registration, signing in, and what an account is shown as."""

from typing import Literal

import msgspec

from kosmosx_stream.protocol.errors import InvalidRequest
from kosmosx_stream.protocol.fields import Fields, decode_object
from metering.accounts import Account
from metering.passwords import (
    LONGEST,
    LONGEST_EMAIL,
    SHORTEST,
    InvalidEmail,
    WeakPassword,
    normalize_email,
)

MAX_NAME = 64


class CreateAccount(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /v1/accounts`."""

    email: str
    password: str
    name: str = ""


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /v1/accounts/sign_in`."""

    email: str
    password: str


class ChangePassword(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /v1/account/password`."""

    password: str
    new_password: str


class AccountObject(msgspec.Struct, frozen=True, kw_only=True):
    """An account; `created_at` in Unix seconds. `email` is null where nobody signs in.

    `plan` says how much its keys may take at a time.
    """

    id: str
    name: str
    email: str | None
    plan: str
    created_at: float
    object: Literal["kosmosx.account"] = "kosmosx.account"


class AccessTokenObject(msgspec.Struct, frozen=True, kw_only=True):
    """What to send as the bearer token, as good as a key until `expires_at` (Unix seconds)."""

    access_token: str
    expires_at: float
    account: AccountObject
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - a kind of token
    object: Literal["kosmosx.access_token"] = "kosmosx.access_token"


class DeletedAccount(msgspec.Struct, frozen=True):
    """An account that is no more."""

    id: str
    deleted: bool = True
    object: Literal["kosmosx.account.deleted"] = "kosmosx.account.deleted"


def decode_account(body: bytes | str) -> CreateAccount:
    """Decode the body of `POST /v1/accounts`; the email is normalised.

    Raises:
        InvalidRequest: a field is missing or wrong.
    """
    fields = decode_object(body)
    fields.refuse_extensions()
    return CreateAccount(
        email=_email(fields),
        password=_chosen(fields, "password"),
        name=fields.line("name", max_length=MAX_NAME) or "",
    )


def decode_sign_in(body: bytes | str) -> SignIn:
    """Decode the body of `POST /v1/accounts/sign_in`; the email is normalised.

    Raises:
        InvalidRequest: a field is missing or wrong.
    """
    fields = decode_object(body)
    fields.refuse_extensions()
    return SignIn(email=_email(fields), password=_password(fields, "password"))


def decode_change(body: bytes | str) -> ChangePassword:
    """Decode the body of `POST /v1/account/password`.

    Raises:
        InvalidRequest: a field is missing or wrong.
    """
    fields = decode_object(body)
    fields.refuse_extensions()
    return ChangePassword(
        password=_password(fields, "password"), new_password=_chosen(fields, "new_password")
    )


def account_object(account: Account) -> AccountObject:
    """An account as its owner sees it."""
    return AccountObject(
        id=account.id,
        name=account.name,
        email=account.email,
        plan=account.plan,
        created_at=account.created_at,
    )


def weak_password(error: WeakPassword, param: str = "password") -> InvalidRequest:
    """The refusal of a password that is easily guessed."""
    return InvalidRequest(f"Invalid '{param}': {error}", code="weak_password", param=param)


def _email(fields: Fields) -> str:
    fields.required_string("email")
    try:
        return normalize_email(fields.string("email", max_length=LONGEST_EMAIL) or "")
    except InvalidEmail as error:
        raise InvalidRequest(
            f"Invalid 'email': {error}", code="invalid_email", param="email"
        ) from error


def _password(fields: Fields, name: str) -> str:
    fields.required_string(name)
    return fields.string(name, max_length=LONGEST) or ""


def _chosen(fields: Fields, name: str) -> str:
    """A password to be; how easily it is guessed is found out later."""
    password = _password(fields, name)
    if len(password) < SHORTEST:
        message = f"Expected at least {SHORTEST} characters, but got {len(password)}."
        raise weak_password(WeakPassword(message), name)
    return password
