"""`/v1/sessions`: what is metered together, from its opening to its receipt."""

import time
from typing import Any, cast

from starlette.requests import Request

from kosmosx_stream.ids import new_id
from kosmosx_stream.protocol.errors import NotFound
from kosmosx_stream.protocol.sessions import (
    SessionList,
    SessionObject,
    decode_session,
    session_object,
)
from kosmosx_stream.services import Services
from kosmosx_stream.transports.endpoint import read_body
from kosmosx_stream.transports.operation import operation
from kosmosx_stream.transports.query import AFTER, LIMIT, Choice, none_such
from kosmosx_stream.turns.sessions import session_not_found
from metering import errors as books
from metering.authenticator import Principal
from metering.ledger import SessionRecord, SessionState

STATUS = Choice(name="status", says="Which sessions.", choices=("any", "open", "closed"))


@operation(needs="generate", body="CreateSession", body_required=False, answer=SessionObject)
async def open_session(request: Request, services: Services, principal: Principal) -> Any:
    """`POST /v1/sessions`: a session that several requests may join by the session header."""
    metadata = decode_session(await read_body(request, services.settings.max_request_bytes))
    await services.plans.check_sessions(principal.account_id)
    record = await services.store.ledger.open_session(
        new_id("sess"),
        principal.account_id,
        principal.key_id,
        time.time(),
        metadata=metadata,
    )
    return await _session_object(services, record)


@operation(needs="read", answer=SessionList, query=(LIMIT, AFTER, STATUS))
async def list_all(request: Request, services: Services, principal: Principal) -> Any:
    """`GET /v1/sessions`: a page of them, newest first."""
    query = request.query_params
    limit, after, status = LIMIT.read(query), AFTER.read(query), STATUS.read(query)
    try:
        records = await services.store.ledger.list_sessions(
            principal.account_id,
            limit=limit + 1,
            after=after,
            state=None if status == "any" else cast("SessionState", status),
        )
    except books.NotFound as error:
        raise none_such("session", after) from error
    data = [await _session_object(services, record) for record in records[:limit]]
    return SessionList(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=len(records) > limit,
    )


@operation(needs="read", answer=SessionObject, refuses=(NotFound,))
async def retrieve(request: Request, services: Services, principal: Principal) -> Any:
    """`GET /v1/sessions/{id}`: usage so far, and the receipt once it is closed."""
    return await _session(services, principal, request.path_params["session_id"])


@operation(needs="generate", answer=SessionObject, refuses=(NotFound,))
async def close(request: Request, services: Services, principal: Principal) -> Any:
    """`DELETE /v1/sessions/{id}`: close it; a second time returns the same receipt."""
    session_id = request.path_params["session_id"]
    await _session(services, principal, session_id)
    await services.hub.sessions.close(session_id, principal)
    return await _session(services, principal, session_id)


async def _session(services: Services, principal: Principal, session_id: str) -> SessionObject:
    try:
        record = await services.store.ledger.session(principal.account_id, session_id)
    except books.NotFound as error:
        raise session_not_found(session_id) from error
    return await _session_object(services, record)


async def _session_object(services: Services, record: SessionRecord) -> SessionObject:
    usage = await services.store.ledger.session_usage(record.account_id, record.id)
    return session_object(record, usage, services.signer)
