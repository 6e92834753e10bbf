"""What every HTTP endpoint shares: the key, the body, the answer, and errors in one shape."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from conversation import ports
from kosmosx_stream.access.auth import NOBODY, authenticate, require_scope
from kosmosx_stream.protocol.errors import (
    ApiError,
    InvalidRequest,
    PayloadTooLarge,
    QuotaExceeded,
    RateLimited,
    encode_http,
)
from kosmosx_stream.protocol.rate_limits import limit_headers
from kosmosx_stream.services import Services
from kosmosx_stream.transports.failures import to_api_error
from kosmosx_stream.transports.operation import Operation
from kosmosx_stream.transports.sse import EventStream
from metering import errors as books


class Endpoint(msgspec.Struct, frozen=True):
    """What is done with a path by one method."""

    method: str
    path: str
    operation: Operation


def resources(endpoints: Iterable[Endpoint]) -> list[Route]:
    """A route for each path. They ask for a key first, and encode what their handlers return."""
    operations: dict[str, dict[str, Operation]] = {}
    for each in endpoints:
        assert isinstance(each.operation, Operation), f"{each.path} needs @operation(...)"
        operations.setdefault(each.path, {})[each.method] = each.operation
    # `/things/all` comes before `/things/{id}`.
    paths = sorted(operations, key=lambda path: path.count("{"))
    return [Route(path, _Resource(operations[path])) for path in paths]


class _Resource:
    """An ASGI app (Starlette takes a plain function for a handler of its own kind)."""

    def __init__(self, operations: dict[str, Operation]) -> None:
        self._operations = operations
        if "GET" in operations:
            self._operations = operations | {"HEAD": operations["GET"]}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        services: Services = request.app.state.services
        operation = self._operations.get(request.method)
        if operation is None:
            raise HTTPException(405, headers={"Allow": ", ".join(self._operations)})
        if operation.needs == "nothing":
            await _answer(await operation.handler(request, services, NOBODY), scope, receive, send)
            return
        client_secrets = services.client_secrets if operation.client_secrets else None
        principal = await authenticate(request, services.authenticator, client_secrets)
        if operation.needs != "a key":
            require_scope(principal, operation.needs)
        with services.requests.open(principal):
            result = await operation.handler(request, services, principal)
            await _answer(result, scope, receive, send)


async def _answer(result: Any, scope: Scope, receive: Receive, send: Send) -> None:
    answer = result if isinstance(result, Response | EventStream) else json_response(result)
    await answer(scope, receive, send)


def document(path: str, content: Any) -> Route:
    """A route to a JSON document that is the same for everyone."""
    body = msgspec.json.encode(content)

    async def show(_request: Request) -> Response:
        return json_response(body)

    return Route(path, show)


async def read_body(request: Request, limit: int) -> bytes:
    """The body as it was sent.

    Raises:
        InvalidRequest: it is packed (it may be a bomb), or broke off.
        PayloadTooLarge: it has more than `limit` bytes.
    """
    if (encoding := request.headers.get("content-encoding", "identity")) != "identity":
        raise InvalidRequest(
            f"Bodies are taken as they are, not as '{encoding[:64]}'.",
            code="unsupported_encoding",
            param="Content-Encoding",
        )
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise PayloadTooLarge(f"The body is larger than {limit} bytes.", code="too_large")
    except ClientDisconnect as error:
        raise InvalidRequest("The body broke off.", code="incomplete_body") from error
    return bytes(body)


def json_response(content: Any, status: int = 200) -> Response:
    body = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return Response(body, status, media_type="application/json")


def exception_handlers() -> dict[Any, Any]:
    """Every refusal in the protocol's shape."""
    expected = (
        ApiError,
        ports.Conflict,
        ports.NotFound,
        ports.LogUnavailable,
        books.NotFound,
        books.StoreUnavailable,
        Exception,
    )
    return dict.fromkeys(expected, _refusal) | {HTTPException: _http_refusal}


def _refusal(request: Request, error: Exception) -> Response:
    refusal = to_api_error(error)
    request.app.state.telemetry.meters.refused(refusal.code, "http")
    response = json_response(encode_http(refusal), refusal.status)
    if isinstance(refusal, RateLimited):
        response.headers.update(limit_headers(refusal.limits))
    if refusal.billed or isinstance(refusal, QuotaExceeded):
        # OpenAI's clients repeat failed requests by themselves, unless they are told not to.
        response.headers["x-should-retry"] = "false"
    if refusal.retry_after_s is not None:
        response.headers["retry-after"] = str(refusal.retry_after_s)
    return response


def _http_refusal(request: Request, error: Exception) -> Response:
    """Starlette's own: no such path, or not by this method."""
    assert isinstance(error, HTTPException)
    name = HTTPStatus(error.status_code).name.lower()
    refusal = InvalidRequest(f"{request.method} {request.url.path}: {error.detail}", code=name)
    request.app.state.telemetry.meters.refused(name, "http")
    return Response(
        encode_http(refusal), error.status_code, error.headers, media_type="application/json"
    )
