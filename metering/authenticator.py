"""From a bearer token to an account. Also how a key comes into being."""

from collections import OrderedDict
from collections.abc import Callable

import msgspec

from metering import keys
from metering.accounts import Accounts, KeyRecord
from metering.keys import InvalidKey, IssuedKey

__all__ = ["Authenticator", "InvalidKey", "IssuedKey", "Principal", "issue_key"]

MAX_TTL_S = 1.0
"""A key that another process revoked is refused after this time at the latest."""


class Principal(msgspec.Struct, frozen=True):
    """Who is calling, and with which key."""

    account_id: str
    key_id: str


class _Verdict(msgspec.Struct, frozen=True):
    principal: Principal | None
    read_at: float


async def issue_key(
    accounts: Accounts, pepper: bytes, account_id: str, *, at: float, label: str = ""
) -> IssuedKey:
    """Make a key for the account. This is the only time that its token is seen.

    Raises:
        NotFound: no such account.
    """
    issued = keys.issue(pepper)
    await accounts.create_key(
        KeyRecord(id=issued.id, account_id=account_id, hash=issued.hash, label=label, created_at=at)
    )
    return issued


class Authenticator:
    """Verdicts on tokens, remembered for a moment so that requests do not wait for the store.

    Tokens are not kept, only their MACs. The least recently used verdict makes room for a new one.

    Args:
        accounts: where the keys are.
        pepper: the secret of the keys' MACs, at least 16 bytes.
        now: a monotonic clock in seconds.
        capacity: verdicts to remember.
    """

    def __init__(
        self, accounts: Accounts, pepper: bytes, now: Callable[[], float], *, capacity: int = 4096
    ) -> None:
        keys.mac("", pepper)  # A short pepper is found now, not with the first request.
        self._accounts = accounts
        self._pepper = pepper
        self._now = now
        self._capacity = capacity
        self._verdicts: OrderedDict[bytes, _Verdict] = OrderedDict()

    async def authenticate(self, token: str) -> Principal:
        """Whose token this is.

        Raises:
            InvalidKey: nobody's, or not any more.
            StoreUnavailable: it cannot be told now; nobody is let in on an old verdict.
        """
        key_id = keys.parse(token)
        mac = keys.mac(token, self._pepper)
        verdict = self._verdicts.get(mac)
        if verdict is None or self._now() - verdict.read_at >= MAX_TTL_S:
            verdict = await self._judge(key_id, mac)
        self._remember(mac, verdict)
        if verdict.principal is None:
            raise InvalidKey
        return verdict.principal

    async def confirm(self, principal: Principal) -> None:
        """See that somebody who was let in earlier may stay.

        Raises:
            InvalidKey: the key was revoked.
            StoreUnavailable: it cannot be told now.
        """
        key = await self._accounts.find_key(principal.key_id)
        if key is None or key.revoked_at is not None:
            raise InvalidKey

    async def _judge(self, key_id: str, mac: bytes) -> _Verdict:
        read_at = self._now()  # Before the read: the verdict is at least this old.
        key = await self._accounts.find_key(key_id)
        valid = keys.matches(mac, None if key is None else key.hash)
        if key is None or not valid or key.revoked_at is not None:
            return _Verdict(None, read_at)
        return _Verdict(Principal(key.account_id, key.id), read_at)

    def _remember(self, mac: bytes, verdict: _Verdict) -> None:
        self._verdicts[mac] = verdict
        self._verdicts.move_to_end(mac)
        if len(self._verdicts) > self._capacity:
            self._verdicts.popitem(last=False)
