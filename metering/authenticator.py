"""From a bearer token to an account, without asking the store each time."""

from collections import OrderedDict
from collections.abc import Callable

import msgspec

from metering import keys
from metering.access_tokens import AccessTokens, is_access_token
from metering.accounts import ALL_SCOPES, Accounts, KeyRecord, Scope
from metering.errors import NotFound
from metering.keys import ExpiredKey, InvalidKey

MAX_TTL_S = 1.0
"""A key that another process revoked is refused after this time at the latest."""


class Principal(msgspec.Struct, frozen=True):
    """Who is calling, with which key (None without one), and what it is good for.

    `expires_at` is in Unix seconds; None is never.
    """

    account_id: str
    key_id: str | None
    scopes: frozenset[Scope] = frozenset()
    expires_at: float | None = None


class _Verdict(msgspec.Struct, frozen=True):
    principal: Principal | None
    read_at: float


class Authenticator:
    """Verdicts on tokens, remembered for a moment so that requests do not wait for the store.

    Tokens are not kept, only their MACs. The least recently used verdict makes room for a new one.

    Args:
        accounts: where the keys are.
        pepper: the secret of the keys' MACs, at least 16 bytes.
        access_tokens: checks what was signed for those who signed in.
        now: a monotonic clock in seconds, by which verdicts age.
        unix_now: a clock in Unix seconds, by which keys expire.
        capacity: verdicts to remember.
    """

    def __init__(
        self,
        accounts: Accounts,
        pepper: bytes,
        access_tokens: AccessTokens,
        now: Callable[[], float],
        unix_now: Callable[[], float],
        *,
        capacity: int = 4096,
    ) -> None:
        keys.mac("", pepper)  # A short pepper is found now, not with the first request.
        self._accounts = accounts
        self._pepper = pepper
        self._access_tokens = access_tokens
        self._now = now
        self._unix_now = unix_now
        self._capacity = capacity
        self._verdicts: OrderedDict[bytes, _Verdict] = OrderedDict()
        self._used: dict[str, float] = {}

    async def authenticate(self, token: str) -> Principal:
        """Whose token this is.

        Raises:
            ExpiredKey: it was good until now.
            InvalidKey: nobody's, or not any more.
            StoreUnavailable: it cannot be told now; nobody is let in on an old verdict.
        """
        mac = keys.mac(token, self._pepper)
        verdict = self._verdicts.get(mac)
        if verdict is None or self._now() - verdict.read_at >= MAX_TTL_S:
            verdict = await self._judge(token, mac)
        self._remember(mac, verdict)
        if verdict.principal is None:
            raise InvalidKey
        at = self._unix_now()
        _check_expiry(verdict.principal.expires_at, at)
        if verdict.principal.key_id is not None:
            self._used[verdict.principal.key_id] = at
        return verdict.principal

    async def confirm(self, principal: Principal) -> Principal:
        """See that somebody who was let in earlier may stay; returns what the key is good for now.

        Raises:
            ExpiredKey: the key was good until now.
            InvalidKey: the key was revoked, or the account deleted.
            StoreUnavailable: it cannot be told now.
        """
        if principal.key_id is not None:
            key = await self._accounts.find_key(principal.key_id)
            if key is None or key.revoked_at is not None:
                raise InvalidKey
            principal = _principal(key)
        elif (await self._accounts.account(principal.account_id)).deleted_at is not None:
            raise InvalidKey
        _check_expiry(principal.expires_at, self._unix_now())
        return principal

    def forget(self, account_id: str, key_id: str | None) -> None:
        """Ask the store when this key, or any of the account, is shown next: it has changed."""
        for mac, verdict in list(self._verdicts.items()):
            known = verdict.principal
            if known and known.account_id == account_id and key_id in {None, known.key_id}:
                del self._verdicts[mac]

    async def flush_used(self) -> None:
        """Tell the store when keys were used last, all in one call.

        Raises:
            StoreUnavailable: it cannot be told now, and is with the next call.
        """
        if not self._used:
            return
        used, self._used = self._used, {}
        try:
            await self._accounts.note_used(used)
        except BaseException:
            self._used = used | self._used
            raise

    async def _judge(self, token: str, mac: bytes) -> _Verdict:
        read_at = self._now()  # Before the read: the verdict is at least this old.
        if is_access_token(token):
            return _Verdict(await self._signed_in(token), read_at)
        key_id = keys.parse(token)
        key = await self._accounts.find_key(key_id)
        valid = keys.matches(mac, None if key is None else key.hash)
        if key is None or not valid or key.revoked_at is not None:
            return _Verdict(None, read_at)
        return _Verdict(_principal(key), read_at)

    async def _signed_in(self, token: str) -> Principal | None:
        signed = self._access_tokens.read(token)
        try:
            account = await self._accounts.account(signed.account_id)
        except NotFound:
            return None
        if account.deleted_at is not None:
            return None
        return Principal(account.id, None, ALL_SCOPES, signed.expires_at)

    def _remember(self, mac: bytes, verdict: _Verdict) -> None:
        self._verdicts[mac] = verdict
        self._verdicts.move_to_end(mac)
        if len(self._verdicts) > self._capacity:
            self._verdicts.popitem(last=False)


def _principal(key: KeyRecord) -> Principal:
    return Principal(key.account_id, key.id, key.scopes, key.expires_at)


def _check_expiry(expires_at: float | None, at: float) -> None:
    if expires_at is not None and at >= expires_at:
        raise ExpiredKey
