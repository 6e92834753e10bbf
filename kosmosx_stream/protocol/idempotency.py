"""Idempotency keys: the same key and the same request are one response, however often it is sent.

draft-ietf-httpapi-idempotency-key-header: a key is a string of the client's choice; the fingerprint
tells a repeated request from another one that took the same key.
"""

import hashlib

import msgspec

from conversation.ports import Reservation
from kosmosx_stream.protocol.errors import InvalidRequest, Unprocessable

HEADER = "Idempotency-Key"
MAX_LENGTH = 255


def reservation(
    owner_id: str, key: str | None, operation: str, body: bytes, *, param: str = HEADER
) -> Reservation | None:
    """What a request with this key of its owner is known by; None without a key.

    `operation` is the method and path, `body` valid JSON: the order of its fields does not count.
    `param` is where the key stands in the request.

    Raises:
        InvalidRequest: the key is empty, too long, or not printable ASCII.
    """
    if key is None:
        return None
    if not (0 < len(key) <= MAX_LENGTH and key.isascii() and key.isprintable()):
        raise InvalidRequest(
            f"Invalid '{param}': expected 1 to {MAX_LENGTH} printable ASCII characters.",
            code="invalid_idempotency_key",
            param=param,
        )
    return Reservation(
        name=_digest(owner_id.encode(), key.encode()),
        fingerprint=_digest(operation.encode(), _canonical(body)),
    )


def check_repeated(asked: Reservation, first_fingerprint: str, param: str = HEADER) -> None:
    """See that the key's first request was this one.

    Raises:
        Unprocessable: it was another one.
    """
    if asked.fingerprint != first_fingerprint:
        raise Unprocessable(
            f"This '{param}' was used with another request; take a new key for a new request.",
            code="idempotency_key_reused",
            param=param,
        )


def _canonical(body: bytes) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(body), order="deterministic")


def _digest(*parts: bytes) -> str:
    """A hash of the parts, each with its length, so that none runs into the next."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.hexdigest()
