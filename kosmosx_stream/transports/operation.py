"""An operation: what answers a request, and what the OpenAPI document says of it.

    @operation(needs="generate", body="CreateThing", answer=ThingObject, refuses=(NotFound,))
    async def create(request: Request, services: Services, principal: Principal) -> Any:
        \"\"\"`POST /v1/things`: begin one.\"\"\"

The docstring is the summary. `needs` is the scope that a key must have. `body` names a schema of
`protocol/body_schemas.py`, `answer` is the struct that is sent (`protocol/`), `query` what
`query.py` reads. Statuses that come by themselves: 401, 403, 429, 500 and 503; 400 with a body or a
checked parameter; 413 with a body.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec
from starlette.requests import Request

from kosmosx_stream.protocol.body_schemas import BODIES
from kosmosx_stream.protocol.errors import ApiError
from kosmosx_stream.services import Services
from kosmosx_stream.transports.query import Parameter
from metering.accounts import Scope
from metering.authenticator import Principal

Handler = Callable[[Request, Services, Principal], Awaitable[Any]]
"""Returns a response, or what is to be encoded as JSON."""

StreamName = Literal["ResponseStreamEvent", "ChatStreamData", "ConversationStreamEvent"]
"""What server-sent events carry, by its name in the OpenAPI document."""


Need = Scope | Literal["a key", "nothing"]
"""What a request has to show: a key of this scope, any key, or none at all."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A handler with its documentation."""

    handler: Handler
    needs: Need
    answer: Any
    """The wire type of a success; None where it is a stream and nothing else."""
    body: str | None
    """What it takes, by its name in `body_schemas.BODIES`."""
    body_required: bool
    query: tuple[Parameter, ...]
    headers: tuple[Parameter, ...]
    streams: StreamName | None
    """What a success may be a stream of instead."""
    text: str | None
    """The media type that a success may have instead of JSON."""
    no_content: str | None
    """When a success has no content (204), if ever."""
    client_secrets: bool
    """Whether a client secret will do instead of a key."""
    refuses: tuple[type[ApiError], ...]
    """Refusals beyond those that every operation of its kind has."""


def operation(
    *,
    needs: Need,
    answer: Any,
    body: str | None = None,
    body_required: bool = True,
    query: tuple[Parameter, ...] = (),
    headers: tuple[Parameter, ...] = (),
    streams: StreamName | None = None,
    text: str | None = None,
    no_content: str | None = None,
    client_secrets: bool = False,
    refuses: tuple[type[ApiError], ...] = (),
) -> Callable[[Handler], Operation]:
    """Make an operation of a handler; see `Operation` for the arguments."""
    assert body is None or body in BODIES, f"no schema is named {body}"

    def document(handler: Handler) -> Operation:
        return Operation(
            handler=handler,
            needs=needs,
            answer=answer,
            body=body,
            body_required=body_required,
            query=query,
            headers=headers,
            streams=streams,
            text=text,
            no_content=no_content,
            client_secrets=client_secrets,
            refuses=refuses,
        )

    return document
