"""Requests that clients repeat: those with an `Idempotency-Key`, and those that must not be."""

import contextlib
from collections.abc import Iterator

from starlette.requests import Request

from conversation.ports import Reservation
from kosmosx_stream.access.grant import Granted
from kosmosx_stream.protocol import idempotency
from kosmosx_stream.protocol.errors import ApiError
from kosmosx_stream.transports.query import Text
from metering.authenticator import Principal

IDEMPOTENCY_KEY = Text(
    name=idempotency.HEADER,
    says="A request that is sent again with the same key gets the same response, billed once.",
)


def reserved_by(request: Request, principal: Principal, body: bytes) -> Reservation | None:
    """What the request's key stands for, if it has one.

    Keys are the account's; those that come with client secrets are their session's.

    Raises:
        InvalidRequest: it is not a key.
    """
    key = request.headers.get(IDEMPOTENCY_KEY.name)
    operation = f"{request.method} {request.scope['path']}"
    owner_id = principal.account_id
    if isinstance(principal, Granted):
        owner_id = principal.grant.session_id
    return idempotency.reservation(owner_id, key, operation, body)


@contextlib.contextmanager
def once_billed(*, repeatable: bool) -> Iterator[None]:
    """What fails inside has been generated, and is billed: tell clients not to ask again.

    `repeatable`: the request has a key, with which it may be repeated at no cost.
    """
    try:
        yield
    except ApiError as error:
        error.billed = not repeatable
        raise
