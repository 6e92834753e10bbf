"""`/v1/sessions`: what is metered together, from its opening to its receipt."""

from typing import Any

from starlette.requests import Request

from kosmosx_stream.ids import new_id
from kosmosx_stream.protocol.errors import NotFound
from kosmosx_stream.protocol.sessions import SessionList, SessionObject, session_object
from kosmosx_stream.services import Services
from kosmosx_stream.transports.operation import operation
from kosmosx_stream.transports.query import AFTER, LIMIT
from metering.authenticator import Principal


@operation(answer=SessionObject)
async def open_session(_request: Request, services: Services, principal: Principal) -> Any:
    """`POST /v1/sessions`: a session that several requests may join by the session header."""
    session = await services.hub.sessions.open(new_id("sess"), principal)
    return await _session(services, principal, session.id)


@operation(answer=SessionList, query=(LIMIT, AFTER))
async def list_all(request: Request, services: Services, principal: Principal) -> Any:
    """`GET /v1/sessions`: newest first."""
    limit = LIMIT.read(request.query_params)
    records = await services.store.list_sessions(
        principal.account_id, limit=limit + 1, after=AFTER.read(request.query_params)
    )
    data = [await _session(services, principal, record.id) for record in records[:limit]]
    return SessionList(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=len(records) > limit,
    )


@operation(answer=SessionObject, refuses=(NotFound,))
async def retrieve(request: Request, services: Services, principal: Principal) -> Any:
    """`GET /v1/sessions/{id}`: usage so far, and the receipt once it is closed."""
    return await _session(services, principal, request.path_params["session_id"])


@operation(answer=SessionObject, refuses=(NotFound,))
async def close(request: Request, services: Services, principal: Principal) -> Any:
    """`DELETE /v1/sessions/{id}`: close it; a second time returns the same receipt."""
    session_id = request.path_params["session_id"]
    await services.hub.sessions.close(session_id, principal)
    return await _session(services, principal, session_id)


async def _session(services: Services, principal: Principal, session_id: str) -> SessionObject:
    record = await services.store.session(principal.account_id, session_id)
    usage = await services.store.session_usage(principal.account_id, session_id)
    return session_object(record, usage)
