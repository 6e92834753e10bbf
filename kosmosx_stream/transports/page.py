"""The demo page: static files under a strict content security policy."""

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

import web_demo

CONTENT_SECURITY_POLICY = "; ".join(  # noqa: FLY002 - one directive a line
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)

_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # The files change with the server's version: let the browser ask whether they did.
    "Cache-Control": "no-cache",
}

_PUBLIC_SUFFIXES = {".html", ".css", ".js", ".json", ".png", ".svg", ".ico", ".webmanifest"}


class Page(StaticFiles):
    """The files of `web_demo`, and nothing else that lies in its folder."""

    def __init__(self) -> None:
        super().__init__(directory=web_demo.FOLDER, html=True)

    async def get_response(self, path: str, scope: Scope) -> Response:
        if scope["method"] not in {"GET", "HEAD"}:
            raise HTTPException(404, "Not Found; the API is below /v1")
        name = path.rpartition("/")[2]
        if "." in name and name != "." and f".{name.rpartition('.')[2]}" not in _PUBLIC_SUFFIXES:
            path = "not-found"
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        return response
