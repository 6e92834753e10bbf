"""Turns from their beginning to their end, and those who read them."""

import asyncio
from typing import Any

import pytest

from kosmosx_stream.protocol.fold import Unseen
from kosmosx_stream.protocol.projection import Projector
from metering.errors import StoreUnavailable
from tests.kosmosx_stream.instances import (
    LENGTH,
    PROMPT,
    Cluster,
    Engine,
    Spelled,
    answer,
    begin,
    finish,
    read_events,
)


async def test_a_stop_string_stops_the_engine(cluster: Cluster) -> None:
    said = "".join(map(chr, answer()[:5]))
    async with cluster.instance(Engine(stalls=[5])) as instance:
        await begin(instance, stop=(said[3:],))
        assert (await finish(instance))[-1] == "response.completed"
        assert instance.engine.closed
    entries = await cluster.entries()
    assert "".join(entry.text for entry in entries[1:]) == said[:3]
    assert await cluster.token_ids() == answer()[:5]


async def test_a_turn_outlives_its_engine(cluster: Cluster) -> None:
    async with cluster.instance(Engine(deaths=[0, 4, 9])) as instance:
        await begin(instance)
        assert (await finish(instance))[-1] == "response.completed"
    assert await cluster.token_ids() == answer()
    assert len({request.request_id for request in instance.engine.requests}) == 4


async def test_a_turn_that_kills_every_engine_fails(cluster: Cluster) -> None:
    async with cluster.instance(Engine(deaths=[3, 3, 3, 3])) as instance:
        await begin(instance)
        assert (await finish(instance))[-1] == "response.failed"
    assert await cluster.token_ids() == answer()[:3]


async def test_readers_choose_a_projection_and_those_of_one_share_its_events(
    cluster: Cluster,
) -> None:
    async with cluster.instance(Engine(stalls=[5])) as instance:
        await begin(instance)
        readings = [
            asyncio.create_task(read_events(instance, projection))
            for projection in (Projector, Projector, Spelled, Unseen)
        ]
        await instance.engine.stalled.wait()
        instance.engine.go.set()
        one, other, spelled, unseen = await asyncio.gather(*readings)
    assert [id(event) for event in one] == [id(event) for event in other]
    assert one[-1].type == "response.completed"
    assert b"".join(event.data for event in spelled) == "".join(map(chr, answer()[:-1])).encode()
    assert unseen == []


async def test_a_session_waits_for_books_that_could_not_be_written(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its receipt would lack the turn: whoever settles that later closes it."""

    async def fail(*_: object) -> None:
        raise StoreUnavailable("the disk is full")

    async with cluster.instance(Engine()) as instance:
        with monkeypatch.context() as patch:
            patch.setattr(cluster.store.ledger, "record_turn", fail)
            await begin(instance)
            assert (await finish(instance))[-1] == "response.completed"
        assert (await cluster.store.ledger.session("acct", "sess")).state == "open"
        cluster.lapse()
        await instance.sweeper.sweep()
    record = await cluster.store.ledger.session("acct", "sess")
    assert record.close_reason == "finished"
    assert record.receipt is not None
    assert record.receipt.lines[0].units == len(PROMPT) + LENGTH


async def test_readers_beside_the_owner_are_served_from_memory(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those on another instance follow through the log."""
    read, reads = cluster.log.read, 0

    async def counted(*of: Any) -> list[bytes]:
        nonlocal reads
        reads += 1
        return await read(*of)

    monkeypatch.setattr(cluster.log, "read", counted)
    async with cluster.instance(Engine()) as owner, cluster.instance(Engine()) as other:
        await begin(owner)
        here = await finish(owner)
        assert reads == 0
        assert await finish(other) == here
        assert reads > 0


async def test_a_response_whose_session_has_closed_is_not_live_any_more(cluster: Cluster) -> None:
    async with cluster.instance(Engine(stalls=[3])) as instance:
        await begin(instance)
        await instance.engine.stalled.wait()
        assert instance.hub.live("resp") is not None
        instance.hub.sessions.forget("sess")
        assert instance.hub.live("resp") is None
        instance.engine.go.set()
