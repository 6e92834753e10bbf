"""An instance that ends leaves its turns to the others."""

from tests.kosmosx_stream.instances import Cluster, Engine, answer, begin, finish


async def test_a_drain_hands_over_what_it_cannot_wait_for(cluster: Cluster) -> None:
    async with (
        cluster.instance(Engine(stalls=[5])) as first,
        cluster.instance(Engine()) as second,
    ):
        await begin(first)
        await first.engine.stalled.wait()
        await first.hub.drain()
        await second.sweeper.sweep()
        assert (await finish(second))[-1] == "response.completed"
    assert await cluster.token_ids() == answer()
