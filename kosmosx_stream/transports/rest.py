"""REST and the routes: responses, sessions, conversations, models, health, the page."""

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from conversation import ports
from conversation.entries import Started
from conversation.items import Conversation
from kosmosx_stream.auth import authenticate
from kosmosx_stream.ids import new_id
from kosmosx_stream.protocol.errors import (
    ApiError,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    ServerError,
    Unavailable,
    encode_http,
)
from kosmosx_stream.protocol.projection import Event
from kosmosx_stream.protocol.requests import decode_conversation, decode_create
from kosmosx_stream.protocol.responses import input_items, item_list
from kosmosx_stream.protocol.sessions import SessionObject, session_object
from kosmosx_stream.services import Services
from kosmosx_stream.transports.page import Page
from kosmosx_stream.transports.query import integer
from kosmosx_stream.transports.sse import EventStream
from kosmosx_stream.transports.websocket import responses_socket
from metering import store
from metering.authenticator import Principal

Handler = Callable[[Request, Services, Principal], Awaitable[Any]]
SESSION_HEADER = "x-kosmosx-session"


def routes() -> list[BaseRoute]:
    """Every path that the server answers."""
    return [
        WebSocketRoute("/v1/responses", responses_socket),
        _route("POST", "/v1/responses", create_response),
        _route("GET", "/v1/responses/{response_id}", retrieve_response),
        _route("DELETE", "/v1/responses/{response_id}", delete_response),
        _route("POST", "/v1/responses/{response_id}/cancel", cancel_response),
        _route("GET", "/v1/responses/{response_id}/input_items", list_input_items),
        _route("POST", "/v1/conversations", create_conversation),
        _route("GET", "/v1/conversations/{conversation_id}", retrieve_conversation),
        _route("POST", "/v1/sessions", open_session),
        _route("GET", "/v1/sessions", list_sessions),
        _route("GET", "/v1/sessions/{session_id}", retrieve_session),
        _route("DELETE", "/v1/sessions/{session_id}", close_session),
        _route("GET", "/v1/models", list_models),
        _route("GET", "/v1/models/{model}", retrieve_model),
        Route("/health/live", live),
        Route("/health/ready", ready),
        Mount("/", Page()),
    ]


def exception_handlers() -> dict[Any, Any]:
    """Every refusal in the protocol's shape."""
    return {
        ApiError: _api_error,
        store.NotFound: _not_found,
        ports.NotFound: _not_found,
        store.StoreUnavailable: _unavailable,
        ports.LogUnavailable: _unavailable,
        HTTPException: _http_exception,
        Exception: _unexpected,
    }


# -- responses -----------------------------------------------------------------------------


async def create_response(request: Request, services: Services, principal: Principal) -> ASGIApp:
    """`POST /v1/responses`: as one JSON object, or streamed."""
    create = decode_create(await _body(request, services.settings.max_request_bytes))
    session_id = request.headers.get(SESSION_HEADER)
    session, live = await services.say_alone(principal, create, session_id)
    events = services.hub.follow(live.started.response_id)
    if create.stream:
        return _stream(services, events, session.id)
    async with contextlib.aclosing(events):
        if not await _unless_disconnected(request, _exhaust(events)):
            return Response(status_code=499)  # nginx's "client closed request"; nobody reads it.
    entries = await services.responses.entries(live.started.response_id)
    response = _json(services.responses.response(entries))
    response.headers[SESSION_HEADER] = session.id
    return response


async def retrieve_response(request: Request, services: Services, principal: Principal) -> ASGIApp:
    """`GET /v1/responses/{id}`: as it is now, or replayed and followed."""
    response_id = request.path_params["response_id"]
    entries = await services.responses.stored(principal.account_id, response_id)
    started = entries[0]
    assert isinstance(started, Started)
    if request.query_params.get("stream", "false").lower() not in {"true", "1"}:
        return _json(services.responses.response(entries))
    after = integer(request.query_params, "starting_after", default=-1, least=-1)
    return _stream(services, services.hub.follow(response_id, after), started.session_id)


async def delete_response(request: Request, services: Services, principal: Principal) -> Any:
    """`DELETE /v1/responses/{id}`: out of the history and the log; the bill stays."""
    response_id = request.path_params["response_id"]
    await services.cancel(principal, response_id)
    await services.responses.stored(principal.account_id, response_id)
    with contextlib.suppress(ports.NotFound):  # A failed turn is in the log only.
        await services.history.delete_turn(principal.account_id, response_id)
    await services.responses.delete(response_id)
    return {"id": response_id, "object": "response", "deleted": True}


async def cancel_response(request: Request, services: Services, principal: Principal) -> Any:
    """`POST /v1/responses/{id}/cancel`: stop it if it is live, and return it as it is then."""
    response_id = request.path_params["response_id"]
    await services.cancel(principal, response_id)
    entries = await services.responses.stored(principal.account_id, response_id)
    return services.responses.response(entries)


async def list_input_items(request: Request, services: Services, principal: Principal) -> Any:
    """`GET /v1/responses/{id}/input_items`: what the request brought."""
    response_id = request.path_params["response_id"]
    started, *_ = await services.responses.stored(principal.account_id, response_id)
    assert isinstance(started, Started)
    urls = {
        image_id: await _data_url(services, principal, image_id) for image_id in started.new_images
    }
    items = input_items(started.input, urls.get)
    if request.query_params.get("order", "desc") != "asc":
        items.reverse()
    after = request.query_params.get("after")
    ids = [item.id for item in items]
    if after is not None:
        if after not in ids:
            raise InvalidRequest(f"No item '{after}'.", code="invalid_value", param="after")
        items = items[ids.index(after) + 1 :]
    limit = integer(request.query_params, "limit", default=20, least=1, most=100)
    return item_list(items[:limit], has_more=len(items) > limit)


async def _data_url(services: Services, principal: Principal, image_id: str) -> str | None:
    try:
        data = await services.history.image(principal.account_id, image_id)
    except ports.NotFound:
        return None
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


# -- conversations -------------------------------------------------------------------------


async def create_conversation(request: Request, services: Services, principal: Principal) -> Any:
    """`POST /v1/conversations`."""
    body = decode_conversation(await _body(request, services.settings.max_request_bytes))
    conversation = Conversation(
        id=new_id("conv"),
        account_id=principal.account_id,
        created_at=time.time(),
        metadata=body.metadata,
    )
    await services.history.create_conversation(conversation)
    return _conversation_object(conversation)


async def retrieve_conversation(request: Request, services: Services, principal: Principal) -> Any:
    """`GET /v1/conversations/{id}`."""
    conversation_id = request.path_params["conversation_id"]
    found = await services.history.conversation(principal.account_id, conversation_id)
    return _conversation_object(found)


def _conversation_object(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": conversation.id,
        "object": "conversation",
        "created_at": int(conversation.created_at),
        "metadata": conversation.metadata,
    }


# -- sessions ------------------------------------------------------------------------------


async def open_session(_request: Request, services: Services, principal: Principal) -> Any:
    """`POST /v1/sessions`: a session that several requests may join by the session header."""
    session = await services.hub.open_session(new_id("sess"), principal)
    return await _session(services, principal, session.id)


async def list_sessions(request: Request, services: Services, principal: Principal) -> Any:
    """`GET /v1/sessions`: newest first."""
    limit = integer(request.query_params, "limit", default=20, least=1, most=100)
    records = await services.store.list_sessions(
        principal.account_id, limit=limit + 1, after=request.query_params.get("after")
    )
    data = [await _session(services, principal, record.id) for record in records[:limit]]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0].id if data else None,
        "last_id": data[-1].id if data else None,
        "has_more": len(records) > limit,
    }


async def retrieve_session(request: Request, services: Services, principal: Principal) -> Any:
    """`GET /v1/sessions/{id}`: usage so far, and the receipt once it is closed."""
    return await _session(services, principal, request.path_params["session_id"])


async def close_session(request: Request, services: Services, principal: Principal) -> Any:
    """`DELETE /v1/sessions/{id}`: close it; a second time returns the same receipt."""
    session_id = request.path_params["session_id"]
    await services.hub.close_session(session_id, principal)
    return await _session(services, principal, session_id)


async def _session(services: Services, principal: Principal, session_id: str) -> SessionObject:
    record = await services.store.session(principal.account_id, session_id)
    usage = await services.store.session_usage(principal.account_id, session_id)
    return session_object(record, usage)


# -- models and health ---------------------------------------------------------------------


async def list_models(_request: Request, services: Services, _principal: Principal) -> Any:
    """`GET /v1/models`."""
    return {"object": "list", "data": [services.model_object()]}


async def retrieve_model(request: Request, services: Services, _principal: Principal) -> Any:
    """`GET /v1/models/{model}`."""
    if request.path_params["model"] != services.settings.model_name:
        raise NotFound(
            f"The model '{request.path_params['model']}' does not exist.",
            code="model_not_found",
            param="model",
        )
    return services.model_object()


async def live(_request: Request) -> Response:
    """`GET /health/live`: the process answers."""
    return _json({"status": "ok"})


async def ready(request: Request) -> Response:
    """`GET /health/ready`: 200 while the model answers."""
    services: Services = request.app.state.services
    if await services.ready():
        return _json({"status": "ready"})
    return _json({"status": "draining" if services.hub.draining else "loading"}, status=503)


# -- plumbing ------------------------------------------------------------------------------


def _route(method: str, path: str, handler: Handler) -> Route:
    """A route that asks for a key first, and encodes what its handler returns."""

    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        services: Services = request.app.state.services
        principal = await authenticate(request, services.authenticator)
        result = await handler(request, services, principal)
        response = result if isinstance(result, Response | EventStream) else _json(result)
        await response(scope, receive, send)

    return Route(path, _AsgiEndpoint(endpoint), methods=[method])


class _AsgiEndpoint:
    """Starlette takes a plain function for a request handler, and an instance for an ASGI app."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def _stream(
    services: Services, events: AsyncIterator[Sequence[Event]], session_id: str | None
) -> EventStream:
    settings = services.settings
    return EventStream(
        events,
        session_id=session_id,
        send_timeout_s=settings.send_timeout_s,
        keepalive_s=settings.keepalive_s,
    )


async def _body(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise PayloadTooLarge(f"The body is larger than {limit} bytes.", code="too_large")
    return bytes(body)


async def _exhaust(events: AsyncIterator[Sequence[Event]]) -> None:
    async for _ in events:
        pass


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _unless_disconnected(request: Request, work: Coroutine[Any, Any, None]) -> bool:
    """Do the work while the client is there; whether it was done."""
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_left(request))
    try:
        await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
        return working.done()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


def _json(content: Any, status: int = 200) -> Response:
    body = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return Response(body, status, media_type="application/json")


def _api_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return _json(encode_http(error), error.status)


def _not_found(request: Request, _error: Exception) -> Response:
    return _api_error(request, NotFound(f"There is no {request.url.path}.", code="not_found"))


def _unavailable(request: Request, _error: Exception) -> Response:
    error = Unavailable("The store cannot be reached. Try again.", code="store_unavailable")
    return _api_error(request, error)


def _http_exception(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    refused = InvalidRequest(error.detail, code=HTTPStatus(error.status_code).name.lower())
    return Response(
        encode_http(refused), error.status_code, error.headers, media_type="application/json"
    )


def _unexpected(request: Request, _error: Exception) -> Response:
    return _api_error(request, ServerError("The server had an error.", code="server_error"))
