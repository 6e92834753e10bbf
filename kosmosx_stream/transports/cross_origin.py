"""Pages of other origins: which of a browser's requests get through, and which answers they read.

A page may use a client secret wherever that will do, and a listed origin a key, too. There are no
cookies: a browser adds nothing of its own by which a foreign page could act for its user.
WebSockets are checked in `auth`: browsers do not ask before they open one.
"""

from collections.abc import Awaitable, Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kosmosx_stream.access.auth import bearer
from kosmosx_stream.access.client_secrets import is_client_secret

MAX_AGE_S = 600
EXPOSED = "x-kosmosx-session, x-should-retry, retry-after"
"""What the official client reads; a page sees no other headers of ours."""


class CrossOrigin:
    """Middleware for the paths of POST requests that take client secrets."""

    def __init__(
        self, app: ASGIApp, *, paths: Collection[str], allowed_origins: Collection[str]
    ) -> None:
        self._app = app
        self._paths = paths
        self._allowed = allowed_origins

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http" or scope["path"] not in self._paths:
            # Nothing of this stays while a WebSocket is open.
            return self._app(scope, receive, send)
        return self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is None:
            await self._app(scope, receive, send)
        elif scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await _preflight(origin, headers)(scope, receive, send)
        elif origin in self._allowed or is_client_secret(bearer(headers) or ""):
            await self._app(scope, receive, _readable(send, origin))
        else:
            await self._app(scope, receive, send)


def _preflight(origin: str, headers: Headers) -> Response:
    """Fetch 3.3: the browser asks whether to send; the secret itself comes later."""
    allowed = {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": headers.get("access-control-request-headers", ""),
        "access-control-max-age": str(MAX_AGE_S),
        "vary": "origin",
    }
    return Response(status_code=204, headers=allowed)


def _readable(send: Send, origin: str) -> Send:
    async def send_readable(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["access-control-allow-origin"] = origin
            headers["access-control-expose-headers"] = EXPOSED
            headers.add_vary_header("origin")
        await send(message)

    return send_readable
