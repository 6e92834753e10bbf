"""Turns under a budget: stopped in mid-answer, refused, and never together too dear."""

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from conversation.entries import Ended, Price, Started
from conversation.ports import Write
from kosmosx_stream.protocol.errors import Conflict, QuotaExceeded
from metering.budgets import Budget, Standing
from tests.kosmosx_stream.instances import (
    PRINCIPAL,
    Cluster,
    Engine,
    Instance,
    answer,
    finish,
    started,
)

INPUT = started().input_tokens
PRICE = replace(started().price, minimum_tokens=0)


async def set_budget(cluster: Cluster, limit_micro_usd: int, *, hard: bool = True) -> None:
    budget = Budget(account_id="acct", limit_micro_usd=limit_micro_usd, hard=hard)
    await cluster.store.budgets.set_budget(budget)


async def standing(cluster: Cluster) -> Standing:
    found = await cluster.store.budgets.standing("acct", 1.0)
    assert found is not None
    return found


def turn(response_id: str = "resp", price: Price = PRICE) -> Started:
    return replace(started(response_id), price=price, single_turn=False)


async def say(instance: Instance, turn: Started) -> None:
    session = instance.hub.sessions.resume("sess", "acct", single_turn=False)
    await instance.hub.say(session, turn)


async def ended(cluster: Cluster) -> Ended:
    last = (await cluster.entries())[-1]
    assert isinstance(last, Ended)
    return last


async def test_an_answer_ends_with_the_last_token_that_can_be_paid(cluster: Cluster) -> None:
    await set_budget(cluster, INPUT + 5)
    async with cluster.instance(Engine()) as instance:
        await say(instance, turn())
        assert (await finish(instance))[-1] == "response.incomplete"
    assert await cluster.token_ids() == answer()[:5]
    assert (await ended(cluster)).reason == "budget"
    assert sum(row.cost_micro_usd for row in await cluster.store.ledger.rows("acct", "sess")) == (
        INPUT + 5
    )


async def test_an_answer_that_a_budget_cuts_goes_on_elsewhere_to_the_same_end(
    cluster: Cluster,
) -> None:
    await set_budget(cluster, INPUT + 7)
    async with cluster.instance(Engine(stalls=[3])) as lost:
        await say(lost, turn())
        await lost.engine.stalled.wait()
        found = lost.hub.live("resp")
        assert found is not None
        found[1].lose()
        cluster.lapse()
        async with cluster.instance(Engine()) as instance:
            await instance.sweeper.sweep()
            await finish(instance)
    assert await cluster.token_ids() == answer()[:7]
    assert (await ended(cluster)).reason == "budget"


async def test_what_cannot_pay_for_one_token_is_refused(cluster: Cluster) -> None:
    await set_budget(cluster, INPUT)
    async with cluster.instance(Engine()) as instance:
        with pytest.raises(QuotaExceeded, match=r"budget is 0\.\d+ USD") as refused:
            await say(instance, turn())
        assert refused.value.code == "insufficient_quota"
        await set_budget(cluster, INPUT + 1)
        await say(instance, turn())  # Nothing is left of the refused one.
        await finish(instance)
    assert await cluster.token_ids() == answer()[:1]


async def test_turns_at_the_same_time_never_overspend(cluster: Cluster) -> None:
    await set_budget(cluster, 2 * (INPUT + 64) + INPUT + 3)
    async with cluster.instance(Engine()) as instance:
        names = [f"resp_{n}" for n in range(6)]
        said = await asyncio.gather(
            *(say(instance, turn(name)) for name in names), return_exceptions=True
        )
        begun = [name for name, result in zip(names, said, strict=True) if result is None]
        for name in begun:
            await finish(instance, name)
        left = await standing(cluster)
    assert len(begun) == 3
    assert left.held_micro_usd == 0
    rows = await cluster.store.ledger.rows("acct", "sess")
    assert sum(row.cost_micro_usd for row in rows) <= left.limit_micro_usd


async def test_a_soft_budget_warns_and_goes_on(cluster: Cluster) -> None:
    await set_budget(cluster, INPUT + 5, hard=False)
    async with cluster.instance(Engine()) as instance:
        await say(instance, turn())
        events = await finish(instance)
    assert await cluster.token_ids() == answer()
    assert events.count("kosmosx:budget.warning") == 1
    assert events[-1] == "response.completed"
    assert (await standing(cluster)).held_micro_usd == 0


async def test_a_turn_that_a_closing_session_overtakes_sets_nothing_aside(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session is closed elsewhere when the turn has its lease, and nothing in its log."""
    await set_budget(cluster, INPUT + 64)
    append, begins, closed = cluster.log.append, asyncio.Event(), asyncio.Event()

    async def append_late(writes: Sequence[Write], ttl_s: float) -> list[Exception | None]:
        begins.set()
        await closed.wait()
        return await append(writes, ttl_s)

    monkeypatch.setattr(cluster.log, "append", append_late)
    async with cluster.instance(Engine()) as instance, cluster.instance(Engine()) as other:
        saying = asyncio.create_task(say(instance, turn()))
        await begins.wait()
        await other.hub.sessions.close("sess", PRINCIPAL)
        closed.set()
        with pytest.raises(Conflict) as refused:
            await saying
    assert refused.value.code == "session_closed"
    assert (await standing(cluster)).held_micro_usd == 0
