"""Sets a turn's cost aside before it begins; the ledger gives it back with the bill."""

import time

from conversation.entries import Started
from kosmosx_stream.limits.allowance import allowed, least_cost_micro_usd, most_cost_micro_usd
from kosmosx_stream.protocol.errors import QuotaExceeded
from metering.budgets import Budgets, BudgetSpent
from metering.usage import usd


class Spending:
    """Holds turns to the budgets of their accounts."""

    def __init__(self, budgets: Budgets, *, hold_s: float) -> None:
        """`hold_s`: what a turn that never settles has set aside is free again after so long."""
        self._budgets = budgets
        self._hold_s = hold_s

    async def set_aside(self, started: Started) -> Started:
        """The turn with what it may spend, if its account has a budget.

        Raises:
            QuotaExceeded: there is not enough left for one token.
            StoreUnavailable: it cannot be told now; the turn must not begin.
        """
        if not started.generate:
            return started
        now = time.time()
        try:
            hold = await self._budgets.hold(
                started.account_id,
                started.response_id,
                least_micro_usd=least_cost_micro_usd(started),
                most_micro_usd=most_cost_micro_usd(started),
                at=now,
                until=now + self._hold_s,
            )
        except BudgetSpent as error:
            standing = error.standing
            raise QuotaExceeded(
                f"The month's budget is {usd(standing.limit_micro_usd)} USD: "
                f"{usd(standing.spent_micro_usd)} are spent, {usd(standing.held_micro_usd)} are "
                f"set aside for answers under way, and this request costs at least "
                f"{usd(least_cost_micro_usd(started))}.",
                code="insufficient_quota",
            ) from error
        return started if hold is None else allowed(started, hold)

    async def give_back(self, started: Started) -> None:
        """The turn did not begin, for certain.

        Raises:
            StoreUnavailable: it is free again when the hold expires.
        """
        if started.allowance is not None:
            await self._budgets.release(started.response_id)
