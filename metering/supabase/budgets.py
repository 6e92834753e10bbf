"""Budgets and holds in Supabase."""

import msgspec

from metering.budgets import Budget, BudgetSpent, Hold, Standing
from metering.supabase.database import Database, text


class _Granted(msgspec.Struct, frozen=True):
    """How the budget stood, and what the turn got out of it: None where that was nothing."""

    standing: Standing
    hold: Hold | None = None


class SupabaseBudgets:
    """The `Budgets` port."""

    def __init__(self, database: Database) -> None:
        self._call = database.call
        self._find = database.find
        self._read = database.read

    async def set_budget(self, budget: Budget) -> None:
        await self._call("set_budget", record=text(budget))

    async def remove_budget(self, account_id: str) -> None:
        await self._call("remove_budget", account_id=account_id)

    async def standing(self, account_id: str, at: float) -> Standing | None:
        return await self._find(Standing, "standing", account_id=account_id, at=at)

    async def spent(self, account_id: str, at: float) -> int:
        return await self._read(int, "spent", account_id=account_id, at=at)

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
        granted = await self._find(
            _Granted,
            "hold",
            account_id=account_id,
            response_id=response_id,
            least_micro_usd=str(least_micro_usd),
            most_micro_usd=str(most_micro_usd),
            at=at,
            until=until,
            fallback=fallback,
        )
        if granted is None:
            return None
        if granted.hold is None:
            raise BudgetSpent(granted.standing)
        return granted.hold

    async def release(self, response_id: str) -> None:
        await self._call("release", response_id=response_id)
