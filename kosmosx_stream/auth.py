"""Who is asking: the key out of a request's headers or a WebSocket's subprotocols."""

from starlette.requests import HTTPConnection

from kosmosx_stream.protocol.errors import AuthenticationError, PermissionDenied
from metering.authenticator import Authenticator, InvalidKey, Principal

SUBPROTOCOL = "realtime"
"""Selected in the handshake when a browser brings its key as a subprotocol."""

_KEY_SUBPROTOCOL = "openai-insecure-api-key."


def offered_subprotocols(connection: HTTPConnection) -> list[str]:
    """What the client offers in `Sec-WebSocket-Protocol`."""
    offered = connection.headers.get("sec-websocket-protocol", "")
    return [name.strip() for name in offered.split(",") if name.strip()]


async def authenticate(connection: HTTPConnection, authenticator: Authenticator) -> Principal:
    """The principal behind a request or a handshake.

    Raises:
        AuthenticationError: no key, or not a valid one.
    """
    token = _bearer(connection) or _subprotocol_key(connection)
    if token is None:
        raise AuthenticationError(
            "You didn't provide an API key. Send it as 'Authorization: Bearer YOUR_KEY'.",
            code="missing_api_key",
        )
    try:
        return await authenticator.authenticate(token)
    except InvalidKey as error:
        raise AuthenticationError(
            "The API key is not valid, or it was revoked.", code="invalid_api_key"
        ) from error


def check_origin(connection: HTTPConnection, allowed: tuple[str, ...]) -> None:
    """Browsers send an Origin with a WebSocket; only our own page and listed ones may open it.

    Raises:
        PermissionDenied: a foreign origin.
    """
    origin = connection.headers.get("origin")
    if origin is None or origin in allowed:
        return
    # RFC 6454 4: an origin's host and port are compared with where the request went.
    if origin.partition("://")[2] != connection.headers.get("host"):
        raise PermissionDenied(f"origin '{origin}' is not allowed", code="origin_not_allowed")


def _bearer(connection: HTTPConnection) -> str | None:
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _subprotocol_key(connection: HTTPConnection) -> str | None:
    for name in offered_subprotocols(connection):
        if name.startswith(_KEY_SUBPROTOCOL):
            return name.removeprefix(_KEY_SUBPROTOCOL)
    return None
