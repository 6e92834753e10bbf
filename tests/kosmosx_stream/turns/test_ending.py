"""Turns that are ended in their owner's place."""

import asyncio

import pytest

from conversation.entries import Delta as LogDelta
from conversation.entries import pack
from conversation.ports import Write
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
