"""Client secrets: what a browser holds instead of a key. Short-lived, of one origin, used once.

Kept in Redis under a keyed hash of the secret; what is read there opens nothing. The first use
turns the record into a tombstone in one command, so that two servers cannot both let it in, and
later ones can be told that it was used.
"""

import re
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable

import msgspec
from redis.asyncio import Redis

from conversation.redis_connection import key, milliseconds, patiently, reply
from kosmosx_stream.access.grant import Grant, Granted
from kosmosx_stream.protocol.errors import AuthenticationError
from metering import keys
from metering.accounts import Accounts, Scope

SECRET_BYTES = 32
REMEMBERED_S = 600.0
"""How long one is told that a secret was used or has expired, after its expiry."""
PATIENCE_S = 2.0

SCOPES: frozenset[Scope] = frozenset({"generate", "read"})
"""What a secret is good for: its turns, and to come back to them."""

_FORM = re.compile(r"ek_[A-Za-z0-9_-]{43}", re.ASCII)
_USED = b""


def is_client_secret(token: str) -> bool:
    """Whether the token claims to be one."""
    return token.startswith("ek_")


class ClientSecrets:
    """Mints secrets, and redeems each once."""

    def __init__(
        self,
        redis: Redis,
        accounts: Accounts,
        pepper: bytes,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`pepper` is mixed into the hashes; `accounts` knows whether a key was revoked."""
        self._redis = redis
        self._accounts = accounts
        self._pepper = pepper
        self._clock = clock

    async def mint(self, grant: Grant) -> str:
        """A secret that is good for this. It is not kept: this is the only time it is seen.

        Raises:
            LogUnavailable: the store cannot be reached.
        """
        secret = "ek_" + urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).rstrip(b"=").decode()
        kept_s = grant.expires_at - self._clock() + REMEMBERED_S
        data = msgspec.msgpack.encode(grant)
        await patiently(
            lambda: self._redis.set(self._name(secret), data, px=milliseconds(kept_s)), PATIENCE_S
        )
        return secret

    async def redeem(self, secret: str, origin: str | None) -> Granted:
        """Use a secret up.

        Args:
            secret: what the client presents.
            origin: the `Origin` header that came with it.

        Raises:
            AuthenticationError: it is unknown, used, expired or another origin's; in the last case
                it is still good. Or its key is not valid any more.
            LogUnavailable: the store cannot be reached. Whether the secret was used is not known.
        """
        if _FORM.fullmatch(secret) is None:
            raise _invalid()
        name = self._name(secret)
        grant = self._read(await patiently(lambda: self._redis.get(name), PATIENCE_S))
        if origin != grant.origin:
            raise AuthenticationError(
                f"This client secret is good for the origin '{grant.origin}' only.",
                code="origin_not_allowed",
            )
        valid_until = await self._valid_until(grant)
        # Not repeated: a second attempt would find it used.
        self._read(await reply(self._redis.set(name, _USED, xx=True, get=True, keepttl=True)))
        return Granted(
            account_id=grant.account_id,
            key_id=grant.key_id,
            scopes=SCOPES,
            expires_at=valid_until,
            grant=grant,
        )

    async def _valid_until(self, grant: Grant) -> float | None:
        """When the key that it was minted with expires, if ever; refuse if that is over."""
        if grant.key_id is None:
            if (await self._accounts.account(grant.account_id)).deleted_at is not None:
                raise _invalid()
            return None
        issuer = await self._accounts.find_key(grant.key_id)
        if issuer is None or not issuer.valid(self._clock()) or "generate" not in issuer.scopes:
            raise _invalid()
        return issuer.expires_at

    def _read(self, data: object) -> Grant:
        if not isinstance(data, bytes):
            raise _invalid()
        if data == _USED:
            raise AuthenticationError(
                "This client secret was used already; mint another.", code="client_secret_used"
            )
        grant = msgspec.msgpack.decode(data, type=Grant)
        if self._clock() >= grant.expires_at:
            raise AuthenticationError(
                "This client secret has expired; mint another.", code="client_secret_expired"
            )
        return grant

    def _name(self, secret: str) -> str:
        return key("secret", keys.mac(secret, self._pepper).hex())


def _invalid() -> AuthenticationError:
    return AuthenticationError(
        "The client secret is not valid, or its key was revoked.", code="invalid_client_secret"
    )
