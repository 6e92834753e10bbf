"""`/v1/accounts` and `/v1/account`: registering, signing in, and the account that one is in."""

import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request

from kosmosx_stream.access.attempts import Allowance
from kosmosx_stream.ids import new_id
from kosmosx_stream.protocol.accounts import (
    AccessTokenObject,
    AccountObject,
    DeletedAccount,
    account_object,
    decode_account,
    decode_change,
    decode_sign_in,
    weak_password,
)
from kosmosx_stream.protocol.errors import (
    AuthenticationError,
    Conflict,
    InvalidRequest,
    PermissionDenied,
    Unavailable,
)
from kosmosx_stream.services import Services
from kosmosx_stream.transports.endpoint import json_response, read_body
from kosmosx_stream.transports.operation import operation
from metering import errors as books
from metering.accounts import Account
from metering.authenticator import Principal
from metering.identities import TooBusy, WrongPassword
from metering.passwords import WeakPassword

MAX_BODY_BYTES = 16 * 1024
HOUR_S, QUARTER_S = 3600.0, 900.0
OTHERS = 10
"""How much more often than one address one account several of them may fail."""


@operation(needs="nothing", body="CreateAccount", answer=AccountObject, refuses=(Conflict,))
async def create(request: Request, services: Services, _nobody: Principal) -> Any:
    """`POST /v1/accounts`: register, where the server is open to it."""
    settings = services.settings
    if not settings.registration_open:
        raise PermissionDenied(
            "This server takes no registrations; ask who runs it for a key.",
            code="registration_closed",
        )
    wanted = decode_account(await read_body(request, MAX_BODY_BYTES))
    # An email that is taken has to be told, or nobody knows why they cannot sign in; that few can
    # be tried keeps it from being a way to find out who is here.
    limit = Allowance("register", settings.max_registrations_per_hour, HOUR_S)
    await services.attempts.take(limit, _address(request))
    account = Account(
        id=new_id("acct"),
        name=wanted.name,
        created_at=time.time(),
        email=wanted.email,
        plan=settings.default_plan,
    )
    try:
        return account_object(await services.identities.register(account, wanted.password))
    except WeakPassword as error:
        raise weak_password(error) from error
    except books.EmailTaken as error:
        raise Conflict(
            "There is an account with this email already; sign in to it.",
            code="email_taken",
            param="email",
        ) from error
    except TooBusy as error:
        raise _too_busy() from error


@operation(needs="nothing", body="SignIn", answer=AccessTokenObject)
async def sign_in(request: Request, services: Services, _nobody: Principal) -> Any:
    """`POST /v1/accounts/sign_in`: an access token for an hour, as good as a key of the account."""
    wanted = decode_sign_in(await read_body(request, MAX_BODY_BYTES))
    account = await _signed_in(request, services, wanted.email, wanted.password)
    token, made = services.access_tokens.sign(account.id, time.time())
    response = json_response(
        AccessTokenObject(
            access_token=token, expires_at=made.expires_at, account=account_object(account)
        )
    )
    response.headers["cache-control"] = "no-store"
    return response


@operation(needs="manage", answer=AccountObject)
async def retrieve(_request: Request, services: Services, principal: Principal) -> Any:
    """`GET /v1/account`: the account that the key or token is of."""
    return account_object(await services.store.accounts.account(principal.account_id))


@operation(needs="manage", answer=DeletedAccount)
async def delete(_request: Request, services: Services, principal: Principal) -> Any:
    """`DELETE /v1/account`: end keys and sessions, erase its words; the books stay, nameless."""
    if principal.key_id is not None:
        raise PermissionDenied(
            "An account is deleted by its owner, not by a key: sign in, and use the access token.",
            code="sign_in_required",
        )
    await services.account_deletion.delete(principal.account_id)
    return DeletedAccount(principal.account_id)


@operation(needs="manage", body="ChangePassword", answer=AccountObject, refuses=(Conflict,))
async def change_password(request: Request, services: Services, principal: Principal) -> Any:
    """`POST /v1/account/password`: sign in with another one; access tokens live on to their end."""
    wanted = decode_change(await read_body(request, MAX_BODY_BYTES))
    account = await services.store.accounts.account(principal.account_id)
    if account.email is None:
        raise Conflict("Nobody signs in to this account: it has no email.", code="no_password")
    try:
        async with _one_attempt(request, services, account.email):
            await services.identities.change_password(account, wanted.password, wanted.new_password)
    except WrongPassword as error:
        raise InvalidRequest(
            "Invalid 'password': it is not this account's.", code="wrong_password", param="password"
        ) from error
    except WeakPassword as error:
        raise weak_password(error, "new_password") from error
    return account_object(account)


async def _signed_in(request: Request, services: Services, email: str, password: str) -> Account:
    try:
        async with _one_attempt(request, services, email):
            return await services.identities.sign_in(email, password)
    except WrongPassword as error:
        raise AuthenticationError(
            "There is no account with this email and password.", code="wrong_password"
        ) from error


@contextlib.asynccontextmanager
async def _one_attempt(request: Request, services: Services, email: str) -> AsyncIterator[None]:
    """Where a password is shown: a wrong one counts, and only so many are looked at."""
    counted = _counted(services.settings.max_failed_sign_ins, email, _address(request))
    for allowance, who in counted:
        await services.attempts.take(allowance, who)
    try:
        yield
    except WrongPassword:
        counted = ()
        raise
    except TooBusy as error:
        raise _too_busy() from error
    finally:
        for allowance, who in counted:
            await services.attempts.give_back(allowance, who)


def _counted(most: int, email: str, address: str) -> tuple[tuple[Allowance, str], ...]:
    """What a failed sign-in counts for: few tries of one address keep it from one account.

    Many addresses may try one account, and one address many accounts, a bit more often: whoever
    locks others out by failing in their name needs many addresses.
    """
    more = OTHERS * most
    return (
        (Allowance("sign in from", more, QUARTER_S), address),
        (Allowance("sign in as", more, QUARTER_S), email),
        (Allowance("sign in from as", most, QUARTER_S), f"{address} {email}"),
    )


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _too_busy() -> Unavailable:
    return Unavailable("Too many are signing in at the moment. Try again.", code="server_busy")
