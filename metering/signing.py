"""Receipts that can be checked later: by whoever has the public key, without the server.

The signature is Ed25519 (RFC 8032) over the receipt's JSON without the field `signature`, in
canonical form (RFC 8785: fields sorted, no white space), with the line `kosmosx receipt` before it.
The private key is derived from the server's secret: servers with the same secret sign alike, and
signing again gives the same signature, so the signature is not stored.
"""

import hmac
from base64 import b64decode, b64encode
from typing import Any, Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from metering.ledger import SessionRecord
from metering.receipt import ReceiptLine

_PURPOSE = b"kosmosx receipts"
_CONTEXT = b"kosmosx receipt\n"


class ReceiptForged(Exception):
    """The receipt was not signed with this key, or was changed; the message says what is wrong."""


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """`public_key` and `value` are base64. Compare the key with the one that the server shows."""

    algorithm: Literal["Ed25519"] = "Ed25519"
    public_key: str
    value: str


class SignedReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """A session's receipt, and whose it is. `closed_at` is in whole Unix seconds."""

    session_id: str
    account_id: str
    closed_at: int
    lines: tuple[ReceiptLine, ...]
    total_usd: str
    price_version: str | None
    signature: Signature


class ReceiptSigner:
    """Signs with a key of its own, derived from the server's secret."""

    def __init__(self, secret: bytes) -> None:
        seed = hmac.digest(secret, _PURPOSE, "sha256")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_key = b64encode(self._key.public_key().public_bytes_raw()).decode()

    def sign(self, session: SessionRecord) -> SignedReceipt | None:
        """The receipt of a session; None while it has none."""
        if session.receipt is None or session.closed_at is None:
            return None
        facts = {
            "session_id": session.id,
            "account_id": session.account_id,
            "closed_at": int(session.closed_at),
            **msgspec.structs.asdict(session.receipt),
        }
        value = b64encode(self._key.sign(_signed(facts))).decode()
        return msgspec.convert(
            {**facts, "signature": Signature(public_key=self.public_key, value=value)},
            SignedReceipt,
        )


def verify(receipt: dict[str, Any], public_key: str) -> SignedReceipt:
    """Check a receipt, as decoded from JSON, against the server's public key (base64).

    Raises:
        ReceiptForged: it is none, or not this key's, or was changed.
    """
    try:
        signed = msgspec.convert(receipt, SignedReceipt)
        value = b64decode(signed.signature.value, validate=True)
        key = Ed25519PublicKey.from_public_bytes(b64decode(public_key, validate=True))
    except (msgspec.ValidationError, ValueError) as error:
        raise ReceiptForged(f"this is no signed receipt: {error}") from error
    if signed.signature.public_key != public_key:
        raise ReceiptForged(f"it was signed with another key: {signed.signature.public_key}")
    facts = {name: field for name, field in receipt.items() if name != "signature"}
    try:
        key.verify(value, _signed(facts))
    except InvalidSignature:
        raise ReceiptForged("it was changed after it was signed") from None
    return signed


def _signed(facts: dict[str, Any]) -> bytes:
    """What is signed. All its values are text and whole numbers, which have one form only."""
    return _CONTEXT + msgspec.json.encode(facts, order="sorted")
