"""Client secrets on the wire: what they are to be good for, and how they are handed out."""

import re
from typing import Literal

import msgspec

from kosmosx_stream.protocol.errors import InvalidRequest
from kosmosx_stream.protocol.fields import Fields, decode_object
from kosmosx_stream.protocol.requests import MIN_OUTPUT_TOKENS, read_metadata
from kosmosx_stream.protocol.sessions import SessionObject

DEFAULT_LIFE_S, SHORTEST_LIFE_S, LONGEST_LIFE_S = 60, 10, 600
ANCHORS: tuple[Literal["created_at"]] = ("created_at",)

ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\sA-Z/?#@]+")
"""RFC 6454 6.2: scheme, host and port, as browsers send them."""


class CreateClientSecret(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /v1/client_secrets`. Without a `session_id` a session is opened for it."""

    origin: str
    life_s: int = DEFAULT_LIFE_S
    session_id: str | None = None
    metadata: dict[str, str] = {}
    conversation: str | None = None
    max_output_tokens: int | None = None


class ClientSecretObject(msgspec.Struct, frozen=True, kw_only=True):
    """A new secret, shown this once; `expires_at` in Unix seconds."""

    value: str
    expires_at: int
    session: SessionObject


def decode_client_secret(body: bytes | str) -> CreateClientSecret:
    """Decode the body of `POST /v1/client_secrets`.

    Raises:
        InvalidRequest: a field is missing or wrong.
        PayloadTooLarge: too much text.
    """
    fields = decode_object(body)
    fields.refuse_extensions()
    origin = fields.required_string("origin")
    if not ORIGIN.fullmatch(origin):
        raise InvalidRequest(
            "Invalid 'origin': expected a scheme and a host, and a port unless it is the scheme's "
            "own, as in 'https://app.example.com'.",
            code="invalid_value",
            param="origin",
        )
    session = fields.object("session") or Fields({}, "session")
    return CreateClientSecret(
        origin=origin,
        life_s=_life_s(fields),
        session_id=session.string("id"),
        metadata=read_metadata(session),
        conversation=fields.string("conversation"),
        max_output_tokens=fields.integer("max_output_tokens", low=MIN_OUTPUT_TOKENS),
    )


def _life_s(fields: Fields) -> int:
    expires_after = fields.object("expires_after")
    if expires_after is None:
        return DEFAULT_LIFE_S
    expires_after.choice("anchor", ANCHORS)
    life_s = expires_after.integer("seconds", low=SHORTEST_LIFE_S, high=LONGEST_LIFE_S)
    return DEFAULT_LIFE_S if life_s is None else life_s
