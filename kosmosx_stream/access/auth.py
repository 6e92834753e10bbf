"""Who is asking: the key out of a request's headers or a WebSocket's subprotocols."""

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from kosmosx_stream.access.client_secrets import ClientSecrets, is_client_secret
from kosmosx_stream.protocol.errors import AuthenticationError, PermissionDenied
from metering.accounts import Scope
from metering.authenticator import Authenticator, Principal
from metering.keys import ExpiredKey, InvalidKey

SUBPROTOCOL = "realtime"
"""Selected in the handshake when a browser brings its key as a subprotocol."""

NOBODY = Principal(account_id="", key_id=None)
"""Whoever calls what needs no key; nothing is theirs."""

_KEY_SUBPROTOCOL = "openai-insecure-api-key."


def offered_subprotocols(connection: HTTPConnection) -> list[str]:
    """What the client offers in `Sec-WebSocket-Protocol`."""
    offered = connection.headers.get("sec-websocket-protocol", "")
    return [name.strip() for name in offered.split(",") if name.strip()]


async def authenticate(
    connection: HTTPConnection,
    authenticator: Authenticator,
    client_secrets: ClientSecrets | None = None,
) -> Principal:
    """The principal behind a request or a handshake.

    `client_secrets`: where they are taken; one that comes here is used up.

    Raises:
        AuthenticationError: no key, or not a valid one.
        PermissionDenied: a client secret, where only a key is taken.
    """
    token = _token(connection)
    if token is None:
        raise AuthenticationError(
            "You didn't provide an API key. Send it as 'Authorization: Bearer YOUR_KEY'.",
            code="missing_api_key",
        )
    if is_client_secret(token):
        if client_secrets is None:
            raise PermissionDenied(
                "A client secret is good for one WebSocket, or one POST of a response. "
                "This needs an API key.",
                code="client_secret_not_allowed",
            )
        return await client_secrets.redeem(token, connection.headers.get("origin"))
    try:
        return await authenticator.authenticate(token)
    except InvalidKey as error:
        raise key_refusal(error) from error


def key_refusal(error: InvalidKey) -> AuthenticationError:
    """How a client is told that its key opens nothing, or nothing any more."""
    if isinstance(error, ExpiredKey):
        return AuthenticationError("The API key has expired.", code="expired_api_key")
    return AuthenticationError(
        "The API key is not valid, or it was revoked.", code="invalid_api_key"
    )


def require_scope(principal: Principal, scope: Scope) -> None:
    """See that the caller's key is good for this.

    Raises:
        PermissionDenied: it is not.
    """
    if scope not in principal.scopes:
        has = ", ".join(sorted(principal.scopes))
        raise PermissionDenied(
            f"This needs a key with the scope '{scope}'; this one has: {has}.",
            code="insufficient_scope",
        )


def check_origin(connection: HTTPConnection, allowed: tuple[str, ...]) -> None:
    """Browsers send an Origin with a WebSocket; only our own page and listed ones may open it.

    A client secret names its origin itself, and is held to it where it is redeemed.

    Raises:
        PermissionDenied: a foreign origin.
    """
    origin = connection.headers.get("origin")
    if origin is None or origin in allowed or is_client_secret(_token(connection) or ""):
        return
    # RFC 6454 4: an origin's host and port are compared with where the request went.
    if origin.partition("://")[2] != connection.headers.get("host"):
        raise PermissionDenied(f"origin '{origin}' is not allowed", code="origin_not_allowed")


def _token(connection: HTTPConnection) -> str | None:
    return bearer(connection.headers) or _subprotocol_key(connection)


def bearer(headers: Headers) -> str | None:
    """The token in `Authorization`."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _subprotocol_key(connection: HTTPConnection) -> str | None:
    for name in offered_subprotocols(connection):
        if name.startswith(_KEY_SUBPROTOCOL):
            return name.removeprefix(_KEY_SUBPROTOCOL)
    return None
