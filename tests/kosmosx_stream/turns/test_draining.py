"""An instance that ends leaves its turns to the others."""

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from conversation.ports import Write
from kosmosx_stream.protocol.errors import HandedOver, Unavailable
from kosmosx_stream.turns.adoption import MAX_ADOPTIONS
from tests.kosmosx_stream.instances import (
    LENGTH,
    PRINCIPAL,
    PROMPT,
    Cluster,
    Engine,
    answer,
    begin,
    finish,
    started,
)


async def test_a_drain_hands_over_what_it_cannot_wait_for(cluster: Cluster) -> None:
    async with (
        cluster.instance(Engine(stalls=[5])) as first,
        cluster.instance(Engine()) as second,
    ):
        await begin(first)
        await first.engine.stalled.wait()
        await first.hub.drain.run()
        await second.sweeper.sweep()
        assert (await finish(second))[-1] == "response.completed"
    assert await cluster.token_ids() == answer()


@pytest.mark.parametrize("early", [False, True])
async def test_a_drain_in_a_hurry_waits_for_nobody(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, *, early: bool
) -> None:
    async with (
        cluster.instance(Engine(stalls=[5])) as first,
        cluster.instance(Engine()) as second,
    ):
        monkeypatch.setattr(first.hub.drain, "_timeout_s", 3600)
        await begin(first)
        await first.engine.stalled.wait()
        if early:
            first.hub.drain.hurry()
        draining = asyncio.create_task(first.hub.drain.run())
        if not early:
            await first.hub.drain.began.wait()
            assert not first.hub.drain.over.is_set()
            first.hub.drain.hurry()
        async with asyncio.timeout(10):
            await draining
        first.hub.drain.hurry()  # Too late, and no harm.
        await second.sweeper.sweep()
        assert (await finish(second))[-1] == "response.completed"
    assert await cluster.token_ids() == answer()


async def test_what_is_being_committed_is_handed_over_too(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit renews the lease: it must not come after the lease was let go."""
    append, held, going = cluster.log.append, asyncio.Event(), asyncio.Event()

    async def slow_append(writes: Sequence[Write], ttl_s: float) -> list[Exception | None]:
        going.set()
        await held.wait()
        return await append(writes, ttl_s)

    async with cluster.instance(Engine(stalls=[5])) as first, cluster.instance(Engine()) as second:
        await begin(first)
        monkeypatch.setattr(cluster.log, "append", slow_append)
        await going.wait()
        draining = asyncio.create_task(first.hub.drain.run())
        await first.hub.drain.over.wait()
        held.set()
        await draining
        await second.sweeper.sweep()
        assert (await finish(second))[-1] == "response.completed"
        assert len(second.engine.requests) == 1
    assert await cluster.token_ids() == answer()


async def test_a_reader_learns_how_far_it_came(cluster: Cluster) -> None:
    async with cluster.instance(Engine(stalls=[5])) as instance:
        await begin(instance)
        events = instance.hub.follow("resp")
        await instance.engine.stalled.wait()
        last = (await anext(events))[-1].sequence
        await instance.hub.drain.run()
        for late in (events, instance.hub.follow("resp", last)):
            with pytest.raises(HandedOver, match=f"after event {last}\\."):
                await anext(late)


async def test_a_reader_of_another_instances_answer_is_sent_on_too(cluster: Cluster) -> None:
    """It would be cut off with its server's connections, seconds later and without a word."""
    async with (
        cluster.instance(Engine(stalls=[5])) as owner,
        cluster.instance(Engine()) as leaving,
    ):
        await begin(owner)
        events = leaving.hub.follow("resp")
        await owner.engine.stalled.wait()
        last = (await anext(events))[-1].sequence
        reading = asyncio.create_task(anext(events))
        await leaving.hub.drain.run()
        with pytest.raises(HandedOver, match=f"after event {last}\\."):
            await reading


async def test_sessions_stay_open_for_those_who_come_back(cluster: Cluster) -> None:
    """Those who do not are billed once, as soon as a later instance finds them idle."""
    cluster.settings = cluster.settings.model_copy(update={"session_idle_s": 0.001})
    turn = replace(started(), single_turn=False)
    async with cluster.instance(Engine(stalls=[5])) as first:
        session = await first.hub.sessions.join("sess", PRINCIPAL)
        with first.hub.sessions.connection(session):
            await first.hub.say(session, turn)
            await first.engine.stalled.wait()
            await first.hub.drain.run()
    assert (await cluster.store.ledger.session("acct", "sess")).state == "open"
    async with cluster.instance(Engine()) as second:
        await second.sweeper.sweep()
        await finish(second)
        while (record := await cluster.store.ledger.session("acct", "sess")).state == "open":
            await second.sweeper.sweep()
    assert record.close_reason == "idle"
    assert record.receipt is not None
    assert record.receipt.lines[0].units == len(PROMPT) + LENGTH
    assert len(await cluster.store.ledger.rows("acct", "sess")) == 1


async def test_who_comes_too_late_is_sent_away(cluster: Cluster) -> None:
    async with cluster.instance(Engine()) as instance:
        drain = instance.hub.drain
        with drain.guest():
            draining = asyncio.create_task(drain.run())
            await drain.over.wait()
            with pytest.raises(Unavailable), drain.guest():
                pass
            assert not draining.done()  # It sees its guest off.
        await draining


async def test_handing_over_is_no_loss(cluster: Cluster) -> None:
    """However many servers are restarted under an answer, it is finished."""
    async with cluster.instance(Engine(stalls=[1])) as first:
        await begin(first)
        await first.engine.stalled.wait()
    for position in range(2, 2 + MAX_ADOPTIONS + 1):
        async with cluster.instance(Engine(stalls=[position])) as instance:
            await instance.sweeper.sweep()
            await instance.engine.stalled.wait()
            await instance.hub.drain.run()
    async with cluster.instance(Engine()) as last:
        await last.sweeper.sweep()
        assert (await finish(last))[-1] == "response.completed"
    assert await cluster.token_ids() == answer()
