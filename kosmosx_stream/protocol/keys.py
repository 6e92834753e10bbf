"""Keys on the wire: what they are to be good for, and how they are shown and handed out."""

from typing import Literal, cast, get_args

import msgspec

from kosmosx_stream.protocol.errors import InvalidRequest
from kosmosx_stream.protocol.fields import Fields, check_string, decode_object, invalid_value
from metering.accounts import KeyRecord, Scope

SCOPES: tuple[Scope, ...] = get_args(Scope)
DEFAULT_SCOPES: frozenset[Scope] = frozenset(SCOPES) - {"manage"}
"""A new key cannot make others, unless that is asked for."""
MAX_LABEL = 64
LATEST = 2**53 - 1
"""The largest time that JSON is sure to carry."""
DEFAULT_OVERLAP_S, LONGEST_OVERLAP_S = 86400, 30 * 86400

KeyStatus = Literal["active", "expired", "revoked"]


class CreateKey(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /v1/keys`. `expires_at` is in Unix seconds; None is never."""

    label: str = ""
    scopes: frozenset[Scope] = DEFAULT_SCOPES
    expires_at: int | None = None


class KeyObject(msgspec.Struct, frozen=True, kw_only=True):
    """A key without its secret. Times are Unix seconds.

    `last_used_at` is right to the minute; `successor_id` is the key that it was rotated to.
    """

    id: str
    label: str
    status: KeyStatus
    scopes: list[Scope]
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None
    successor_id: str | None
    object: Literal["kosmosx.key"] = "kosmosx.key"


class NewKeyObject(KeyObject, frozen=True, kw_only=True):
    """A new key, with what its owner sends as the bearer token: it is shown this once."""

    key: str


class KeyList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of keys, oldest first."""

    object: Literal["list"] = "list"
    data: list[KeyObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


def decode_key(body: bytes | str, at: float) -> CreateKey:
    """Decode the body of `POST /v1/keys`, which may be empty.

    Raises:
        InvalidRequest: wrong types, a scope that there is not, or a time that has passed.
    """
    fields = decode_object(body or b"{}")
    fields.refuse_extensions()
    return CreateKey(
        label=fields.line("label", max_length=MAX_LABEL) or "",
        scopes=_scopes(fields),
        expires_at=_expires_at(fields, at),
    )


def decode_rotation(body: bytes | str) -> int:
    """Decode the body of `POST /v1/keys/{id}/rotate`, which may be empty: the overlap in seconds.

    Raises:
        InvalidRequest: not a number of seconds within bounds.
    """
    fields = decode_object(body or b"{}")
    fields.refuse_extensions()
    overlap_s = fields.integer("overlap_s", low=0, high=LONGEST_OVERLAP_S)
    return DEFAULT_OVERLAP_S if overlap_s is None else overlap_s


def key_object(record: KeyRecord, at: float) -> KeyObject:
    """A key as its account sees it at that time."""
    return KeyObject(
        id=record.id,
        label=record.label,
        status=_status(record, at),
        scopes=[scope for scope in SCOPES if scope in record.scopes],
        created_at=record.created_at,
        expires_at=record.expires_at,
        revoked_at=record.revoked_at,
        last_used_at=record.last_used_at,
        successor_id=record.successor_id,
    )


def new_key_object(record: KeyRecord, token: str, at: float) -> NewKeyObject:
    """A key as it is handed out."""
    return NewKeyObject(**msgspec.structs.asdict(key_object(record, at)), key=token)


def _status(record: KeyRecord, at: float) -> KeyStatus:
    if record.revoked_at is not None:
        return "revoked"
    return "active" if record.valid(at) else "expired"


def _scopes(fields: Fields) -> frozenset[Scope]:
    named = fields.array("scopes")
    if named is None:
        return DEFAULT_SCOPES
    if not named:
        raise InvalidRequest(
            "Invalid 'scopes': empty array. Expected an array with minimum length 1.",
            code="empty_array",
            param="scopes",
        )
    for index, scope in enumerate(named):
        param = f"scopes[{index}]"
        if check_string(scope, param) not in SCOPES:
            raise invalid_value(param, scope, SCOPES)
    return frozenset(cast("list[Scope]", named))


def _expires_at(fields: Fields, at: float) -> int | None:
    expires_at = fields.integer("expires_at", low=0, high=LATEST)
    if expires_at is not None and expires_at <= at:
        raise InvalidRequest(
            f"Invalid 'expires_at': {expires_at} has passed. Expected a later time than now "
            f"({at:.0f}), in Unix seconds.",
            code="time_has_passed",
            param="expires_at",
        )
    return expires_at
