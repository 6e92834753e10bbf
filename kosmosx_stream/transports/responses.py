"""`/v1/responses` over HTTP: create, retrieve, replay, cancel, delete, input items."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from conversation.entries import Started
from kosmosx_stream.protocol import frames
from kosmosx_stream.protocol.errors import Conflict, NotFound, PermissionDenied, Unprocessable
from kosmosx_stream.protocol.frames import Event
from kosmosx_stream.protocol.items import ItemList
from kosmosx_stream.protocol.rate_limits import limit_headers
from kosmosx_stream.protocol.requests import decode_create
from kosmosx_stream.protocol.responses import DeletedResponse, InputTokens, ResponseObject
from kosmosx_stream.protocol.sessions import encode_session_closed
from kosmosx_stream.services import Services
from kosmosx_stream.transports.endpoint import json_response, read_body
from kosmosx_stream.transports.headers import SESSION
from kosmosx_stream.transports.item_pages import INCLUDE, PAGING, item_page
from kosmosx_stream.transports.operation import operation
from kosmosx_stream.transports.query import LAST_EVENT_ID, STARTING_AFTER, STREAM, Text
from kosmosx_stream.transports.repeating import IDEMPOTENCY_KEY, once_billed, reserved_by
from kosmosx_stream.transports.sse import EventStream
from kosmosx_stream.transports.waiting import CLIENT_CLOSED_REQUEST, until_ended
from metering.authenticator import Principal

NO_CONTENT = 204
"""HTML 9.2.3: the answer on which an EventSource stops coming back."""
EVENTS = Text(name="X-Kosmosx-Events", says="`1`: a stream has events of this server's own, too.")


@operation(
    needs="generate",
    body="CreateResponse",
    answer=ResponseObject,
    headers=(SESSION, EVENTS, IDEMPOTENCY_KEY),
    streams="ResponseStreamEvent",
    client_secrets=True,
    refuses=(PermissionDenied, NotFound, Conflict, Unprocessable),
)
async def create(request: Request, services: Services, principal: Principal) -> ASGIApp:
    """`POST /v1/responses`: as one JSON object, or streamed; at once, if in the background."""
    body = await read_body(request, services.settings.max_request_bytes)
    create = decode_create(body)
    reservation = reserved_by(request, principal, body)
    joined = SESSION.read(request.headers)
    said = await services.say_once(principal, create, joined, reservation)
    if create.stream:
        events = services.hub.follow(said.response_id)
        headers = limit_headers(said.limits)
        return _stream(request, services, principal, events, said.session_id, headers=headers)
    with once_billed(repeatable=reservation is not None):
        there = create.background or await until_ended(request, services, said.response_id)
        if not there:
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        entries = await services.responses.entries(said.response_id)
    response = json_response(services.responses.response(entries))
    response.headers[SESSION.name] = said.session_id
    response.headers.update(limit_headers(said.limits))
    return response


@operation(
    needs="read",
    answer=ResponseObject,
    query=(STREAM, STARTING_AFTER, INCLUDE),
    headers=(EVENTS, LAST_EVENT_ID),
    no_content="`Last-Event-ID` was the last event: there is nothing to come back for.",
    streams="ResponseStreamEvent",
    refuses=(NotFound,),
)
async def retrieve(request: Request, services: Services, principal: Principal) -> ASGIApp:
    """`GET /v1/responses/{id}`: as it is now, or replayed and followed."""
    response_id = request.path_params["response_id"]
    entries = await services.responses.stored(principal.account_id, response_id)
    started = entries[0]
    assert isinstance(started, Started)
    after = STARTING_AFTER.read(request.query_params)
    INCLUDE.read(request.query_params)  # Whatever it asks for, no answer has it.
    if not STREAM.read(request.query_params):
        return json_response(services.responses.response(entries))
    if request.headers.get(LAST_EVENT_ID.name):
        # An EventSource comes back to the same URL, with the header as the newer truth.
        after = LAST_EVENT_ID.read(request.headers)
    # Here, too: what `follow` refuses comes after the headers.
    await services.responses.check_not_set_back(response_id, after)
    ended = services.responses.has_ended(entries, after)
    if ended and request.headers.get(LAST_EVENT_ID.name):
        return Response(status_code=NO_CONTENT)
    events = services.hub.follow(response_id, after)
    return _stream(
        request,
        services,
        principal,
        events,
        started.session_id,
        after=after,
        preamble=frames.RETRY,
    )


@operation(needs="generate", answer=DeletedResponse, refuses=(NotFound, Conflict))
async def delete(request: Request, services: Services, principal: Principal) -> Any:
    """`DELETE /v1/responses/{id}`: out of the history and the log; the bill stays."""
    response_id = request.path_params["response_id"]
    await services.delete(principal, response_id)
    return DeletedResponse(response_id)


@operation(needs="generate", answer=ResponseObject, refuses=(NotFound,))
async def cancel(request: Request, services: Services, principal: Principal) -> Any:
    """`POST /v1/responses/{id}/cancel`: stop it if it is live, and return it as it is then."""
    response_id = request.path_params["response_id"]
    if await services.cancel(principal, response_id):
        # Also one that is not to be stored: this is the last that is seen of it.
        entries = await services.responses.entries(response_id)
    else:
        entries = await services.responses.stored(principal.account_id, response_id)
    return services.responses.response(entries)


@operation(needs="generate", body="CreateResponse", answer=InputTokens, refuses=(NotFound,))
async def count_input_tokens(request: Request, services: Services, principal: Principal) -> Any:
    """`POST /v1/responses/input_tokens`: the length of a request's prompt; nothing is billed."""
    create = decode_create(await read_body(request, services.settings.max_request_bytes))
    window = await services.gate(create.model).window(principal, create)
    return InputTokens(input_tokens=window.input_tokens)


@operation(needs="read", answer=ItemList, query=PAGING, refuses=(NotFound,))
async def list_input_items(request: Request, services: Services, principal: Principal) -> Any:
    """`GET /v1/responses/{id}/input_items`: what the request brought."""
    response_id = request.path_params["response_id"]
    started, *_ = await services.responses.stored(principal.account_id, response_id)
    assert isinstance(started, Started)
    return await item_page(
        services.history, principal.account_id, started.input, request.query_params
    )


def _stream(
    request: Request,
    services: Services,
    principal: Principal,
    events: AsyncIterator[Sequence[Event]],
    session_id: str,
    *,
    after: int = -1,
    preamble: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> EventStream:
    settings = services.settings
    extensions = request.headers.get(EVENTS.name) == "1"
    return EventStream(
        _with_receipt(services, principal, events, session_id) if extensions else events,
        watch=services.key_watch.watch(principal),
        session_id=session_id,
        headers=headers,
        send_timeout_s=settings.send_timeout_s,
        keepalive_s=settings.keepalive_s,
        after=after,
        preamble=preamble,
        extensions=extensions,
    )


async def _with_receipt(
    services: Services,
    principal: Principal,
    events: AsyncIterator[Sequence[Event]],
    session_id: str,
) -> AsyncIterator[Sequence[Event]]:
    """The events, and the receipt of their session if it is closed at their end."""
    sequence = -1
    async for batch in events:
        sequence = batch[-1].sequence
        yield batch
    record = await services.store.ledger.session(principal.account_id, session_id)
    if record.state == "closed":
        usage = await services.store.ledger.session_usage(principal.account_id, session_id)
        data = encode_session_closed(record, usage, services.signer, sequence + 1)
        yield [Event(sequence + 1, "kosmosx:session.closed", data, extension=True)]
