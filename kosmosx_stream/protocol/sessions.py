"""The session object on the wire: `{id, object, status, metadata, opened_at, closed_at, usage, …}`.

`usage` is what was used so far, `receipt` what was billed, there once the session is closed.
"""

from typing import Literal

import msgspec

from kosmosx_stream.protocol.fields import decode_object
from kosmosx_stream.protocol.requests import read_metadata
from metering.ledger import SessionRecord, SessionState, SessionUsage
from metering.signing import ReceiptSigner, SignedReceipt
from metering.usage import usd


class UsageObject(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over the session's turns; the cost is an exact decimal of dollars."""

    turns: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    total_tokens: int
    images: int
    detections: int
    cost_usd: str


class SessionObject(msgspec.Struct, frozen=True, kw_only=True):
    """Times are Unix seconds. `close_reason`: client, disconnected, finished, idle, revoked."""

    id: str
    status: SessionState
    metadata: dict[str, str]
    opened_at: float
    closed_at: float | None
    close_reason: str | None
    usage: UsageObject
    receipt: SignedReceipt | None
    object: Literal["kosmosx.session"] = "kosmosx.session"


class SessionClosed(msgspec.Struct, frozen=True, kw_only=True, tag="kosmosx:session.closed"):
    """The last event of a connection that was closed by command: the session with its receipt."""

    sequence_number: int
    session: SessionObject


class ReceiptKey(msgspec.Struct, frozen=True, kw_only=True):
    """The public key that receipts are checked with, in base64."""

    algorithm: Literal["Ed25519"] = "Ed25519"
    public_key: str


class SessionList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of sessions, newest first."""

    object: Literal["list"] = "list"
    data: list[SessionObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


def decode_session(body: bytes | str) -> dict[str, str]:
    """Decode the body of `POST /v1/sessions`, which may be empty: the metadata.

    Raises:
        InvalidRequest: wrong types.
        PayloadTooLarge: too much text.
    """
    fields = decode_object(body or b"{}")
    fields.refuse_extensions()
    return read_metadata(fields)


def session_object(
    record: SessionRecord, usage: SessionUsage, signer: ReceiptSigner
) -> SessionObject:
    """A session as clients see it; its receipt is signed."""
    return SessionObject(
        id=record.id,
        status=record.state,
        metadata=record.metadata,
        opened_at=record.opened_at,
        closed_at=record.closed_at,
        close_reason=record.close_reason,
        usage=UsageObject(
            turns=usage.turns,
            input_tokens=usage.input_tokens,
            cached_tokens=usage.cached_tokens,
            output_tokens=usage.output_tokens,
            total_tokens=usage.total_tokens,
            images=usage.images,
            detections=usage.detections,
            cost_usd=usd(usage.cost_micro_usd),
        ),
        receipt=signer.sign(record),
    )


def encode_session_closed(
    record: SessionRecord, usage: SessionUsage, signer: ReceiptSigner, sequence: int
) -> bytes:
    """The `kosmosx:session.closed` event."""
    event = SessionClosed(sequence_number=sequence, session=session_object(record, usage, signer))
    return msgspec.json.encode(event)
