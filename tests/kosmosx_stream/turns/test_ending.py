"""Turns that are ended in their owner's place."""

import asyncio
from collections.abc import Sequence

import pytest

from conversation.entries import Delta as LogDelta
from conversation.entries import pack
from conversation.ports import Lease, Write
from kosmosx_stream.protocol.errors import NotFound as NotFoundError
from tests.kosmosx_stream.instances import (
    PROMPT,
    Cluster,
    Engine,
    answer,
    begin,
    finish,
    lose_owner,
    started,
)

THIRD = 3
"""The epoch of a response that has had three owners."""


async def test_any_instance_cancels_at_once(cluster: Cluster) -> None:
    """The owner lives, and learns it from the log; what it had committed is billed, once."""
    async with (
        cluster.instance(Engine(stalls=[5])) as owner,
        cluster.instance(Engine()) as other,
    ):
        await begin(owner)
        reading = asyncio.create_task(finish(owner))
        await owner.engine.stalled.wait()
        with pytest.raises(NotFoundError):
            await other.hub.ending.cancel("another account", "resp")
        await other.hub.ending.cancel("acct", "resp")
        await other.hub.ending.cancel("acct", "resp")  # It has ended; that changes nothing.
        await owner.hub.heartbeat.renew()
        assert (await reading)[-1] == "response.incomplete"
        assert owner.hub.live("resp") is None
        owner.engine.go.set()
    assert await cluster.token_ids() == answer()[:5]
    assert (await cluster.entries())[-1].reason == "cancelled"
    turn = await cluster.history.turn("acct", "resp")
    assert turn.answer_ids == answer()[:5]
    record = await cluster.store.ledger.session("acct", "sess")
    assert (record.state, record.close_reason) == ("closed", "finished")
    (row,) = await cluster.store.ledger.rows("acct", "sess")
    assert row.raw_units == len(PROMPT) + 5
    assert cluster.owed == 5, "the rate limit hears of it, once, whoever ended it"


async def test_two_instances_cancel_at_once(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One overtakes the other, which finds it ended."""
    seize, append, overtaken = cluster.log.seize, cluster.log.append, asyncio.Event()

    async def seize_after(response_id: str, ttl_s: float) -> Lease | None:
        lease = await seize(response_id, ttl_s)
        if lease is not None and lease.epoch == THIRD:
            overtaken.set()
        return lease

    async def append_late(writes: Sequence[Write], ttl_s: float) -> list[Exception | None]:
        if writes[0].lease.epoch == THIRD - 1:
            await overtaken.wait()
        return await append(writes, ttl_s)

    monkeypatch.setattr(cluster.log, "seize", seize_after)
    monkeypatch.setattr(cluster.log, "append", append_late)
    async with (
        cluster.instance(Engine(stalls=[5])) as owner,
        cluster.instance(Engine()) as second,
        cluster.instance(Engine()) as third,
    ):
        await begin(owner)
        await owner.engine.stalled.wait()
        cancels = (each.hub.ending.cancel("acct", "resp") for each in (second, third))
        assert await asyncio.gather(*cancels) == [True, True]
    assert (await cluster.entries())[-1].reason == "cancelled"
    assert cluster.owed == 5


async def test_a_response_is_cancelled_after_its_owner_was_lost(cluster: Cluster) -> None:
    """Nobody has to wait for the lease to lapse."""
    async with (
        cluster.instance(Engine(stalls=[5])) as first,
        cluster.instance(Engine()) as second,
    ):
        await begin(first)
        await lose_owner(first)
        await second.hub.ending.cancel("acct", "resp")
        cluster.lapse()
        await second.sweeper.sweep()
        assert second.engine.requests == []
        assert (await finish(second))[-1] == "response.incomplete"
    assert await cluster.token_ids() == answer()[:5]


async def test_what_had_only_its_end_missing_is_not_cancelled(cluster: Cluster) -> None:
    lease = await cluster.log.acquire("resp", 1)
    assert lease is not None
    deltas = [LogDelta((token,), chr(token)) for token in answer()]
    entries = tuple(pack(entry) for entry in (started(), *deltas))
    await cluster.log.append([Write(lease=lease, expected=0, entries=entries)], 1)
    async with cluster.instance(Engine()) as instance:
        await instance.hub.ending.cancel("acct", "resp")
    assert (await cluster.entries())[-1].reason == "stop"
