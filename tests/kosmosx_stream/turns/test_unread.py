"""Turns that nobody reads, or that somebody reads elsewhere."""

import asyncio

from tests.kosmosx_stream.instances import (
    Cluster,
    Engine,
    answer,
    begin,
    finish,
)


async def test_a_turn_that_is_read_elsewhere_goes_on(cluster: Cluster) -> None:
    """Its owner has no reader, and asks the others before it gives up."""
    cluster.settings = cluster.settings.model_copy(update={"disconnect_grace_s": 0.3})
    async with (
        cluster.instance(Engine(stalls=[5])) as owner,
        cluster.instance(Engine()) as other,
    ):
        await begin(owner)
        reading = asyncio.create_task(finish(other))
        await owner.engine.stalled.wait()
        reader = owner.hub.follow("resp")
        await anext(reader)
        await reader.aclose()  # The last reader here has left.
        for _ in range(3):
            owner.attendance.asked.clear()
            await owner.attendance.asked.wait()
        owner.engine.go.set()
        assert (await reading)[-1] == "response.completed"
    assert await cluster.token_ids() == answer()


async def test_a_turn_that_nobody_reads_any_more_is_stopped(cluster: Cluster) -> None:
    cluster.settings = cluster.settings.model_copy(update={"disconnect_grace_s": 0.3})
    async with (
        cluster.instance(Engine(stalls=[5])) as owner,
        cluster.instance(Engine()) as other,
    ):
        await begin(owner)
        await owner.engine.stalled.wait()
        for instance in (other, owner):
            reader = instance.hub.follow("resp")
            await anext(reader)
            await reader.aclose()
        live = owner.hub.live("resp")
        assert live is not None
        await live[1].ended
    assert (await cluster.entries())[-1].reason == "cancelled"
