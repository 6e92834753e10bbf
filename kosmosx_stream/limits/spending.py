"""Sets a turn's cost aside before it begins; the ledger gives it back with the bill.

Where the budget has ended, the cheaper model may answer, out of what its account's owner has put
up for that; when that has ended too, nobody answers.
"""

import time
from collections.abc import Awaitable, Callable

from conversation.entries import Started
from kosmosx_stream.limits.allowance import allowed, least_cost_micro_usd, most_cost_micro_usd
from kosmosx_stream.protocol.errors import ApiError, QuotaExceeded
from metering.budgets import Budgets, BudgetSpent
from metering.usage import usd

Cheaper = Callable[[Started], Awaitable[Started]]
"""Admits a turn anew, for the cheaper model. May raise ApiError: that cannot answer it."""


class Spending:
    """Holds turns to the budgets of their accounts."""

    def __init__(self, budgets: Budgets, *, hold_s: float) -> None:
        """`hold_s`: what a turn that never settles has set aside is free again after so long."""
        self._budgets = budgets
        self._hold_s = hold_s

    async def set_aside(self, started: Started, cheaper: Cheaper | None = None) -> Started:
        """The turn with what it may spend, if its account has a budget; or a cheaper one instead.

        Raises:
            QuotaExceeded: there is not enough left for one token.
            StoreUnavailable: it cannot be told now; the turn must not begin.
        """
        if not started.generate:
            return started
        try:
            return await self._hold(started, fallback=False)
        except BudgetSpent as error:
            if cheaper is None or not error.standing.fallback_micro_usd:
                raise _refusal(started, error) from error
            spent = error
        try:
            started = await cheaper(started)
        except ApiError as error:
            raise _refusal(started, spent, f" The cheaper model: {error.message}") from error
        try:
            return await self._hold(started, fallback=True)
        except BudgetSpent as error:
            raise _refusal(started, error) from error

    async def give_back(self, started: Started) -> None:
        """The turn did not begin, for certain.

        Raises:
            StoreUnavailable: it is free again when the hold expires.
        """
        if started.allowance is not None:
            await self._budgets.release(started.response_id)

    async def _hold(self, started: Started, *, fallback: bool) -> Started:
        now = time.time()
        hold = await self._budgets.hold(
            started.account_id,
            started.response_id,
            least_micro_usd=least_cost_micro_usd(started),
            most_micro_usd=most_cost_micro_usd(started),
            at=now,
            until=now + self._hold_s,
            fallback=fallback,
        )
        return started if hold is None else allowed(started, hold, fallback=fallback)


def _refusal(started: Started, spent: BudgetSpent, more: str = "") -> QuotaExceeded:
    standing = spent.standing
    return QuotaExceeded(
        f"The month's budget is {usd(standing.limit_micro_usd)} USD: "
        f"{usd(standing.spent_micro_usd)} are spent, {usd(standing.held_micro_usd)} are "
        f"set aside for answers under way, and this request costs at least "
        f"{usd(least_cost_micro_usd(started))}.{more}",
        code="insufficient_quota",
    )
