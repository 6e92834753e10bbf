"""`/v1/client_secrets`: what a page's own server gets for it, so that no browser holds a key."""

import time
from typing import Any

from starlette.requests import Request

from conversation import ports
from kosmosx_stream.access.grant import Grant
from kosmosx_stream.ids import new_id
from kosmosx_stream.protocol.client_secrets import (
    ClientSecretObject,
    CreateClientSecret,
    decode_client_secret,
)
from kosmosx_stream.protocol.errors import Conflict, NotFound, conversation_not_found
from kosmosx_stream.protocol.sessions import session_object
from kosmosx_stream.services import Services
from kosmosx_stream.transports.endpoint import json_response, read_body
from kosmosx_stream.transports.operation import operation
from kosmosx_stream.turns.sessions import session_closed, session_not_found
from metering import errors as books
from metering.authenticator import Principal
from metering.ledger import SessionRecord


@operation(
    needs="generate",
    body="CreateClientSecret",
    answer=ClientSecretObject,
    refuses=(NotFound, Conflict),
)
async def create(request: Request, services: Services, principal: Principal) -> Any:
    """`POST /v1/client_secrets`: a secret for a browser, good for one connection or one request."""
    wanted = decode_client_secret(await read_body(request, services.settings.max_request_bytes))
    if wanted.conversation is not None:
        await _check_conversation(services, principal, wanted.conversation)
    session = await _session(services, principal, wanted)
    grant = Grant(
        account_id=principal.account_id,
        key_id=principal.key_id,
        session_id=session.id,
        origin=wanted.origin,
        expires_at=time.time() + wanted.life_s,
        conversation_id=wanted.conversation,
        max_output_tokens=wanted.max_output_tokens,
    )
    secret = ClientSecretObject(
        value=await services.client_secrets.mint(grant),
        expires_at=int(grant.expires_at),
        session=session_object(
            session,
            await services.store.ledger.session_usage(session.account_id, session.id),
            services.signer,
        ),
    )
    response = json_response(secret)
    response.headers["cache-control"] = "no-store"
    return response


async def _check_conversation(
    services: Services, principal: Principal, conversation_id: str
) -> None:
    try:
        await services.history.conversation(principal.account_id, conversation_id)
    except ports.NotFound as error:
        raise conversation_not_found(conversation_id) from error


async def _session(
    services: Services, principal: Principal, wanted: CreateClientSecret
) -> SessionRecord:
    """The open session that is named, or a new one."""
    account_id = principal.account_id
    if wanted.session_id is None:
        await services.plans.check_sessions(account_id)
        return await services.store.ledger.open_session(
            new_id("sess"),
            account_id,
            principal.key_id,
            time.time(),
            metadata=wanted.metadata,
        )
    try:
        session = await services.store.ledger.session(account_id, wanted.session_id)
    except books.NotFound as error:
        raise session_not_found(wanted.session_id) from error
    if session.state == "closed":
        raise session_closed(session.id)
    return session
