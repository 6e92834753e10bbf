"""API keys: `kx_live_<id>_<secret>`. The secret is shown once; only its MAC is kept.

The secret has 256 random bits, so a fast keyed hash is the right one: slow password hashes guard
low entropy, which is not the case here, and would cost 50 ms of every request.
"""

import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable

import msgspec

ID_BYTES = 8
SECRET_BYTES = 32
PEPPER_BYTES = 16
"""The least that a pepper may have."""

_FORM = re.compile(r"kx_live_([0-9a-f]{16})_[A-Za-z0-9_-]{43}", re.ASCII)
_NOBODY = bytes(32)


class InvalidKey(Exception):
    """No such key, or it was revoked, or the secret is wrong: which, is not told."""


class ExpiredKey(InvalidKey):
    """The secret is right, and the key was valid for a time that has passed."""


class IssuedKey(msgspec.Struct, frozen=True):
    """A new key. `token` is for its owner's eyes only, `hash` for the store."""

    id: str
    token: str
    hash: bytes

    def __repr__(self) -> str:
        """Without the secret: this ends up in logs."""
        return f"IssuedKey(id={self.id!r})"


def issue(pepper: bytes, random: Callable[[int], bytes] = secrets.token_bytes) -> IssuedKey:
    """Make a key; `random` gives that many unpredictable bytes."""
    key_id = random(ID_BYTES).hex()
    secret = urlsafe_b64encode(random(SECRET_BYTES)).rstrip(b"=").decode()
    token = f"kx_live_{key_id}_{secret}"
    return IssuedKey(key_id, token, mac(token, pepper))


def parse(token: str) -> str:
    """The public id in a token.

    Raises:
        InvalidKey: it does not have the form of a key.
    """
    match = _FORM.fullmatch(token)
    if match is None:
        raise InvalidKey
    return match[1]


def mac(token: str, pepper: bytes) -> bytes:
    """HMAC-SHA-256 of the whole token: the id is in it, so hashes cannot be moved between keys.

    Raises:
        ValueError: the pepper is too short to be one.
    """
    if len(pepper) < PEPPER_BYTES:
        raise ValueError(f"the pepper needs at least {PEPPER_BYTES} bytes")
    return hmac.digest(pepper, token.encode(), "sha256")


def matches(computed: bytes, stored: bytes | None) -> bool:
    """Compare in constant time; an unknown key (None) costs the same comparison."""
    equal = hmac.compare_digest(computed, _NOBODY if stored is None else stored)
    return equal and stored is not None
