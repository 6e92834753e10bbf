"""The budgets port: what an account may spend in a month, and what its live turns have set aside.

A turn sets its highest possible cost aside before it begins, in the transaction that looks at what
is left; so turns that run at the same time cannot spend the same money twice. What was set aside
is given back by the transaction that writes the turn into the ledger (`Ledger.record_turn`), or
when the hold expires: for a turn that never came to be.
"""

from datetime import UTC, datetime
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

BudgetMicroUsd = Annotated[int, Meta(ge=0, le=10**15)]
"""The bound, a thousand million dollars, keeps sums within what JSON readers take for a number."""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What an account may spend in a calendar month (UTC). Only a `hard` budget stops a turn.

    `locked`: the operator set it, and the account's owner cannot change it. `fallback_micro_usd`:
    what the month may cost on top of a hard limit, for answers of a cheaper model.
    """

    account_id: str
    limit_micro_usd: BudgetMicroUsd
    hard: bool
    locked: bool = False
    fallback_micro_usd: BudgetMicroUsd = 0


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A budget at some moment: what the month has cost, and what live turns have set aside."""

    limit_micro_usd: int
    hard: bool
    locked: bool
    spent_micro_usd: int
    held_micro_usd: int
    fallback_micro_usd: int = 0

    @property
    def left_micro_usd(self) -> int:
        """What nobody has spent or set aside.

        Less than nothing where a soft budget is exceeded, or a cheaper model answers.
        """
        return self.limit_micro_usd - self.spent_micro_usd - self.held_micro_usd

    def with_fallback(self) -> "Standing":
        """As it stands for answers of the cheaper model."""
        limit = self.limit_micro_usd + self.fallback_micro_usd
        return msgspec.structs.replace(self, limit_micro_usd=limit)


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """What one turn may spend, and what was left before it."""

    limit_micro_usd: int
    hard: bool
    left_micro_usd: int
    granted_micro_usd: int


class BudgetSpent(Exception):
    """A hard budget has less left than the turn would cost at the least."""

    def __init__(self, standing: Standing) -> None:
        super().__init__("the budget is spent")
        self.standing = standing


class Budgets(Protocol):
    """Budgets and holds. Any call may raise StoreUnavailable."""

    async def set_budget(self, budget: Budget) -> None:
        """Set the account's budget, in place of the one that it had. Holds stay as they are.

        Raises:
            NotFound: no such account.
        """
        ...

    async def remove_budget(self, account_id: str) -> None:
        """Let the account spend what it likes. Does nothing if it had no budget."""
        ...

    async def standing(self, account_id: str, at: float) -> Standing | None:
        """The account's budget in the month of `at`; None if it has none."""
        ...

    async def spent(self, account_id: str, at: float) -> int:
        """What the month of `at` has cost the account so far, in micro-dollars."""
        ...

    async def hold(
        self,
        account_id: str,
        response_id: str,
        *,
        least_micro_usd: int,
        most_micro_usd: int,
        at: float,
        until: float,
        fallback: bool = False,
    ) -> Hold | None:
        """Set aside what a turn may cost: `most_micro_usd`, or what is left of a hard budget.

        With `fallback` the budget is as large as it is with what the cheaper model may cost on top.

        Once per response id: a second call returns what the first one did. A hold that is neither
        settled nor released ends at `until`. None where the account has no budget.

        Raises:
            BudgetSpent: the budget is hard, and less than `least_micro_usd` is left.
        """
        ...

    async def release(self, response_id: str) -> None:
        """Give back what a turn that never began had set aside."""
        ...


def month(at: float) -> str:
    """The calendar month of a Unix time, UTC: `2026-11`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m")


def grant(standing: Standing, least_micro_usd: int, most_micro_usd: int) -> Hold:
    """What a turn gets out of a budget; for adapters.

    Raises:
        BudgetSpent: as `Budgets.hold`.
    """
    left = standing.left_micro_usd
    if standing.hard and left < least_micro_usd:
        raise BudgetSpent(standing)
    return Hold(
        limit_micro_usd=standing.limit_micro_usd,
        hard=standing.hard,
        left_micro_usd=left,
        granted_micro_usd=min(most_micro_usd, left) if standing.hard else most_micro_usd,
    )
