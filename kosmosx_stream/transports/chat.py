"""`/v1/chat/completions`: the same turns as `/v1/responses`, in the words of the older API.

A completion is a response: put `resp_` for `chatcmpl-`, and every path of `/v1/responses` takes it.
"""

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from conversation.entries import Ended
from kosmosx_stream.protocol import frames
from kosmosx_stream.protocol.chat import (
    ChatCompletion,
    DeletedCompletion,
    StreamOptions,
    response_id,
)
from kosmosx_stream.protocol.chat_projection import ChatProjector
from kosmosx_stream.protocol.chat_requests import decode_chat
from kosmosx_stream.protocol.errors import (
    ApiError,
    Conflict,
    NotFound,
    PermissionDenied,
    Unprocessable,
    encode_http,
)
from kosmosx_stream.protocol.frames import Event
from kosmosx_stream.protocol.rate_limits import limit_headers
from kosmosx_stream.services import Said, Services
from kosmosx_stream.transports.endpoint import json_response, read_body
from kosmosx_stream.transports.headers import SESSION
from kosmosx_stream.transports.operation import operation
from kosmosx_stream.transports.repeating import IDEMPOTENCY_KEY, once_billed, reserved_by
from kosmosx_stream.transports.sse import EventStream
from kosmosx_stream.transports.waiting import CLIENT_CLOSED_REQUEST, until_ended
from metering.authenticator import Principal


@operation(
    needs="generate",
    body="CreateChatCompletion",
    answer=ChatCompletion,
    headers=(SESSION, IDEMPOTENCY_KEY),
    streams="ChatStreamData",
    client_secrets=True,
    refuses=(PermissionDenied, NotFound, Conflict, Unprocessable),
)
async def create(request: Request, services: Services, principal: Principal) -> ASGIApp:
    """`POST /v1/chat/completions`: as one JSON object, or streamed."""
    body = await read_body(request, services.settings.max_request_bytes)
    chat = decode_chat(body)
    reservation = reserved_by(request, principal, body)
    joined = SESSION.read(request.headers)
    said = await services.say_once(principal, chat.create, joined, reservation)
    if chat.create.stream:
        return _stream(services, principal, said, chat.stream_options)
    with once_billed(repeatable=reservation is not None):
        if not await until_ended(request, services, said.response_id):
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        entries = await services.responses.entries(said.response_id)
        response = json_response(services.responses.completion(entries))
    response.headers[SESSION.name] = said.session_id
    response.headers.update(limit_headers(said.limits))
    return response


@operation(needs="read", answer=ChatCompletion, refuses=(NotFound,))
async def retrieve(request: Request, services: Services, principal: Principal) -> Any:
    """`GET /v1/chat/completions/{id}`: one that was to be stored, once it is finished."""
    completion_id = request.path_params["completion_id"]
    with _known_as(completion_id):
        entries = await services.responses.stored(principal.account_id, response_id(completion_id))
    match entries[-1]:
        case Ended(reason=reason) if reason != "error":
            return services.responses.completion(entries)
    raise _not_found(completion_id)


@operation(needs="generate", answer=DeletedCompletion, refuses=(NotFound,))
async def delete(request: Request, services: Services, principal: Principal) -> Any:
    """`DELETE /v1/chat/completions/{id}`: out of the history and the log; the bill stays."""
    completion_id = request.path_params["completion_id"]
    with _known_as(completion_id):
        await services.delete(principal, response_id(completion_id))
    return DeletedCompletion(completion_id)


@contextlib.contextmanager
def _known_as(completion_id: str) -> Iterator[None]:
    """Say of a response that is not there what the client called it."""
    try:
        yield
    except NotFound as error:
        raise _not_found(completion_id) from error


def _not_found(completion_id: str) -> NotFound:
    return NotFound(
        f"Chat completion with id '{completion_id}' not found.",
        code="completion_not_found",
        param="completion_id",
    )


def _stream(
    services: Services, principal: Principal, said: Said, options: StreamOptions
) -> EventStream:
    projection = partial(ChatProjector, options=options)
    return EventStream(
        services.hub.follow(said.response_id, projection=projection),
        watch=services.key_watch.watch(principal),
        session_id=said.session_id,
        headers=limit_headers(said.limits),
        send_timeout_s=services.settings.send_timeout_s,
        keepalive_s=services.settings.keepalive_s,
        frame=_frame,
        encode_error=_encode_error,
    )


def _frame(event: Event) -> bytes:
    return frames.unnamed_sse(event.data)


def _encode_error(error: ApiError, _sequence: int) -> bytes:
    return frames.unnamed_sse(encode_http(error))
