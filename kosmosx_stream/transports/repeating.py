"""Requests that clients repeat: those with an idempotency key, and those that must not be."""

import contextlib
from collections.abc import Iterator

from starlette.requests import Request

from conversation.ports import Reservation
from kosmosx_stream.access.grant import Granted
from kosmosx_stream.protocol import client_events, idempotency
from kosmosx_stream.protocol.client_events import CreateOnStream
from kosmosx_stream.protocol.errors import ApiError
from kosmosx_stream.transports.query import Text
from metering.authenticator import Principal

IDEMPOTENCY_KEY = Text(
    name=idempotency.HEADER,
    says="A request that is sent again with the same key gets the same response, billed once.",
)


def reserved_by(request: Request, principal: Principal, body: bytes) -> Reservation | None:
    """What the request's key stands for, if it has one.

    Raises:
        InvalidRequest: it is not a key.
    """
    key = request.headers.get(IDEMPOTENCY_KEY.name)
    operation = f"{request.method} {request.scope['path']}"
    return idempotency.reservation(_owner_id(principal), key, operation, body)


def reserved_on_socket(create: CreateOnStream, principal: Principal) -> Reservation | None:
    """What the key of a WebSocket's command stands for, if it has one, whatever its lane.

    Raises:
        InvalidRequest: it is not a key.
    """
    return idempotency.reservation(
        _owner_id(principal),
        create.idempotency_key,
        "response.create",
        create.asked,
        param=client_events.IDEMPOTENCY_KEY,
    )


def _owner_id(principal: Principal) -> str:
    """Whose keys they are: the account's; those that come with client secrets, their session's."""
    return principal.grant.session_id if isinstance(principal, Granted) else principal.account_id


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
