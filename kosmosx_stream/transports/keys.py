"""`/v1/keys`: the keys of an account. A secret is shown once, when its key is made."""

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from kosmosx_stream.protocol.errors import Conflict, NotFound
from kosmosx_stream.protocol.keys import (
    KeyList,
    KeyObject,
    NewKeyObject,
    decode_key,
    decode_rotation,
    key_object,
    new_key_object,
)
from kosmosx_stream.services import Services
from kosmosx_stream.transports.endpoint import json_response, read_body
from kosmosx_stream.transports.operation import operation
from kosmosx_stream.transports.query import AFTER, LIMIT, none_such
from metering import errors as books
from metering.accounts import KeyRecord
from metering.authenticator import Principal
from metering.issuing import NewKey

MAX_KEYS = 100
"""Valid keys of one account."""


@operation(
    needs="manage",
    body="CreateKey",
    body_required=False,
    answer=NewKeyObject,
    refuses=(Conflict,),
)
async def create(request: Request, services: Services, principal: Principal) -> Any:
    """`POST /v1/keys`: a new key of the account, shown this once."""
    at = time.time()
    wanted = decode_key(await read_body(request, services.settings.max_request_bytes), at)
    keys = await services.store.accounts.list_keys(principal.account_id)
    if sum(key.valid(at) for key in keys) >= MAX_KEYS:
        raise Conflict(
            f"The account has {MAX_KEYS} valid keys; revoke one first.", code="too_many_keys"
        )
    made = await services.issuer.issue(
        principal.account_id,
        at=at,
        label=wanted.label,
        scopes=wanted.scopes,
        expires_at=wanted.expires_at,
    )
    return _handed_out(made, at)


@operation(needs="manage", answer=KeyList, query=(LIMIT, AFTER))
async def list_all(request: Request, services: Services, principal: Principal) -> Any:
    """`GET /v1/keys`: a page of the account's keys, oldest first, without their secrets."""
    limit, after = LIMIT.read(request.query_params), AFTER.read(request.query_params)
    keys = _following(await services.store.accounts.list_keys(principal.account_id), after)
    at = time.time()
    data = [key_object(key, at) for key in keys[:limit]]
    return KeyList(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=len(keys) > limit,
    )


@operation(needs="manage", answer=KeyObject, refuses=(NotFound,))
async def retrieve(request: Request, services: Services, principal: Principal) -> Any:
    """`GET /v1/keys/{id}`: what a key is good for."""
    key_id = request.path_params["key_id"]
    key = await services.store.accounts.find_key(key_id)
    if key is None or key.account_id != principal.account_id:
        raise _key_not_found(key_id)
    return key_object(key, time.time())


@operation(
    needs="manage",
    body="RotateKey",
    body_required=False,
    answer=NewKeyObject,
    refuses=(NotFound, Conflict),
)
async def rotate(request: Request, services: Services, principal: Principal) -> Any:
    """`POST /v1/keys/{id}/rotate`: a key in its place, shown this once; the old one ends soon."""
    key_id = request.path_params["key_id"]
    overlap_s = decode_rotation(await read_body(request, services.settings.max_request_bytes))
    at = time.time()
    try:
        made = await services.issuer.rotate(
            principal.account_id, key_id, at=at, overlap_s=overlap_s
        )
    except books.NotFound as error:
        raise _key_not_found(key_id) from error
    except books.KeyEnded as error:
        raise Conflict(
            f"Key '{key_id}' was revoked, has expired, or was rotated before.",
            code="key_ended",
            param="key_id",
        ) from error
    await services.key_watch.changed(principal.account_id, key_id)
    return _handed_out(made, at)


@operation(needs="manage", answer=KeyObject, refuses=(NotFound,))
async def revoke(request: Request, services: Services, principal: Principal) -> Any:
    """`DELETE /v1/keys/{id}`: make it invalid at once, and for ever."""
    key_id = request.path_params["key_id"]
    at = time.time()
    try:
        key = await services.store.accounts.revoke_key(principal.account_id, key_id, at)
    except books.NotFound as error:
        raise _key_not_found(key_id) from error
    await services.key_watch.changed(principal.account_id, key_id)
    return key_object(key, at)


def _following(keys: list[KeyRecord], after: str | None) -> list[KeyRecord]:
    if after is None:
        return keys
    for index, key in enumerate(keys):
        if key.id == after:
            return keys[index + 1 :]
    raise none_such("key", after)


def _handed_out(made: NewKey, at: float) -> Response:
    response = json_response(new_key_object(made.record, made.token, at))
    response.headers["cache-control"] = "no-store"
    return response


def _key_not_found(key_id: str) -> NotFound:
    return NotFound(f"Key with id '{key_id}' not found.", code="key_not_found", param="key_id")
