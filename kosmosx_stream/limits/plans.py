"""The plans of accounts, and what they hold their keys to, on all servers together."""

import contextlib
import time
from collections import OrderedDict

from conversation.entries import Started
from conversation.ports import LogUnavailable
from kosmosx_stream.access.grant import holder
from kosmosx_stream.limits.rate_limits import RateLimits, Take
from kosmosx_stream.protocol.errors import RateLimited
from kosmosx_stream.protocol.rate_limits import RateLimit
from metering.authenticator import Principal
from metering.errors import StoreUnavailable
from metering.plans import Plan
from metering.prices import PriceBook
from metering.store import Store

KNOWN_S = 5.0
"""An account that was put on another plan is held to it after so long."""
CAPACITY = 4096


class Plans:
    """Looks up an account's plan now and then, and asks the buckets of its keys."""

    def __init__(self, store: Store, prices: PriceBook, rates: RateLimits) -> None:
        self._store = store
        self._prices = prices
        self._rates = rates
        self._known: OrderedDict[str, tuple[Plan, float]] = OrderedDict()

    async def check_sessions(self, account_id: str) -> None:
        """See that the account may open another session.

        Raises:
            RateLimited: it has as many open as it may have.
            StoreUnavailable: it cannot be told now.
        """
        limit = (await self._plan(account_id)).open_sessions
        if limit is not None and await self._store.ledger.open_sessions(account_id) >= limit:
            raise RateLimited(
                f"This account has {limit} sessions open already; close one, or wait until it is "
                f"closed as idle.",
                code="too_many_sessions",
            )

    async def take(self, principal: Principal, started: Started) -> tuple[RateLimit, ...]:
        """Take a turn's request, input and images; returns what its key has left.

        Raises:
            RateLimited: one of them is used up for now; nothing was taken.
            LogUnavailable: it cannot be told now.
            StoreUnavailable: it cannot be told now.
        """
        plan = await self._plan(principal.account_id)
        asked = Take(1, started.input_tokens, len(started.new_images))
        return await self._rates.take(plan, holder(principal), asked)

    async def owe(self, started: Started, output_tokens: int) -> None:
        """Take what a turn has said. That it cannot be written down stops nobody."""
        with contextlib.suppress(LogUnavailable, StoreUnavailable):
            plan = await self._plan(started.account_id)
            owing = started.limited_as or started.account_id
            await self._rates.owe(plan, owing, Take(tokens=output_tokens))

    async def _plan(self, account_id: str) -> Plan:
        known = self._known.get(account_id)
        if known is not None and time.monotonic() - known[1] < KNOWN_S:
            return known[0]
        read_at = time.monotonic()
        plan = self._prices.plan((await self._store.accounts.account(account_id)).plan)
        self._known[account_id] = plan, read_at
        self._known.move_to_end(account_id)
        if len(self._known) > CAPACITY:
            self._known.popitem(last=False)
        return plan
