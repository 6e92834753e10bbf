"""What every store must do with budgets, and with what turns set aside of them."""

import asyncio
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from metering.budgets import Budget, BudgetSpent, Hold, Standing
from metering.errors import NotFound
from metering.store import Store
from tests.metering.samples import turn
from tests.metering.stores import record

AT = datetime(2026, 11, 30, 23, 59, tzinfo=UTC).timestamp()
NEXT_MONTH = AT + 60
TURN_COST = 132 * 200


def budget(limit_micro_usd: int, *, hard: bool = True) -> Budget:
    return Budget(account_id="acct_1", limit_micro_usd=limit_micro_usd, hard=hard)


async def hold(
    store: Store,
    response_id: str = "resp_1",
    least: int = 10,
    most: int = 100,
    at: float = AT,
    *,
    fallback: bool = False,
) -> Hold | None:
    return await store.budgets.hold(
        "acct_1",
        response_id,
        least_micro_usd=least,
        most_micro_usd=most,
        at=at,
        until=at + 3600,
        fallback=fallback,
    )


async def standing(store: Store, at: float = AT) -> Standing:
    found = await store.budgets.standing("acct_1", at)
    assert found is not None
    return found


async def test_without_a_budget_nothing_is_held(store: Store) -> None:
    assert await store.budgets.standing("acct_1", AT) is None
    assert await hold(store) is None


async def test_a_budget_is_set_changed_and_removed(store: Store) -> None:
    await store.budgets.set_budget(budget(100))
    await store.budgets.set_budget(replace(budget(200, hard=False), locked=True))
    assert await standing(store) == Standing(
        limit_micro_usd=200, hard=False, locked=True, spent_micro_usd=0, held_micro_usd=0
    )
    assert await store.budgets.standing("acct_2", AT) is None
    await store.budgets.remove_budget("acct_1")
    await store.budgets.remove_budget("acct_1")
    assert await store.budgets.standing("acct_1", AT) is None


async def test_a_budget_needs_an_account(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.budgets.set_budget(replace(budget(1), account_id="acct_3"))


async def test_turns_share_what_is_left(store: Store) -> None:
    await store.budgets.set_budget(budget(130))
    first = await hold(store, "resp_1")
    second = await hold(store, "resp_2")
    assert first == Hold(limit_micro_usd=130, hard=True, left_micro_usd=130, granted_micro_usd=100)
    assert second == Hold(limit_micro_usd=130, hard=True, left_micro_usd=30, granted_micro_usd=30)
    with pytest.raises(BudgetSpent) as refused:
        await hold(store, "resp_3")
    assert refused.value.standing.held_micro_usd == 130
    await store.budgets.release("resp_1")
    third = await hold(store, "resp_3")
    assert third is not None
    assert third.granted_micro_usd == 100


async def test_a_soft_budget_refuses_nothing(store: Store) -> None:
    await store.budgets.set_budget(budget(50, hard=False))
    assert await hold(store) == Hold(
        limit_micro_usd=50, hard=False, left_micro_usd=50, granted_micro_usd=100
    )
    second = await hold(store, "resp_2")
    assert second is not None
    assert (second.left_micro_usd, second.granted_micro_usd) == (-50, 100)


async def test_a_hold_is_made_once(store: Store) -> None:
    await store.budgets.set_budget(budget(1000))
    first = await hold(store)
    assert await hold(store, most=500) == first
    assert (await standing(store)).held_micro_usd == 100


async def test_a_hold_that_nobody_settles_expires(store: Store) -> None:
    await store.budgets.set_budget(budget(100))
    await hold(store)
    assert (await standing(store, AT + 3599)).held_micro_usd == 100
    later = await hold(store, "resp_2", at=AT + 3600)
    assert later is not None
    assert later.granted_micro_usd == 100


async def test_the_ledger_settles_a_hold(store: Store) -> None:
    await store.budgets.set_budget(budget(1_000_000))
    await hold(store, "resp_1", most=900_000)
    for _ in range(2):  # A repeated call counts nothing twice.
        await record(store, turn("resp_1", at=AT))
        now = await standing(store)
        assert (now.spent_micro_usd, now.held_micro_usd) == (TURN_COST, 0)
    assert await store.budgets.spent("acct_1", AT) == TURN_COST
    assert await store.budgets.spent("acct_2", AT) == 0


async def test_a_month_begins_with_nothing_spent(store: Store) -> None:
    await store.budgets.set_budget(budget(1_000_000))
    await record(store, turn(at=AT))
    assert (await standing(store, NEXT_MONTH)).spent_micro_usd == 0


async def test_turns_at_the_same_time_never_get_more_than_there_is(store: Store) -> None:
    await store.budgets.set_budget(budget(1050))
    holds = await asyncio.gather(
        *(hold(store, f"resp_{n}") for n in range(20)), return_exceptions=True
    )
    granted = [each.granted_micro_usd for each in holds if isinstance(each, Hold)]
    assert sorted(granted) == [50, *[100] * 10]
    assert sum(isinstance(each, BudgetSpent) for each in holds) == 9


async def test_for_the_cheaper_model_there_is_more_and_then_no_more(store: Store) -> None:
    await store.budgets.set_budget(replace(budget(50), fallback_micro_usd=40))
    assert (await hold(store, "dear", least=10, most=60)) == Hold(
        limit_micro_usd=50, hard=True, left_micro_usd=50, granted_micro_usd=50
    )
    with pytest.raises(BudgetSpent) as ended:
        await hold(store, "refused", least=1)
    assert ended.value.standing.fallback_micro_usd == 40
    assert (await hold(store, "cheap", least=1, most=100, fallback=True)) == Hold(
        limit_micro_usd=90, hard=True, left_micro_usd=40, granted_micro_usd=40
    )
    with pytest.raises(BudgetSpent) as ended:
        await hold(store, "refused", least=1, fallback=True)
    assert ended.value.standing.limit_micro_usd == 90
    assert (await standing(store)).left_micro_usd == -40
