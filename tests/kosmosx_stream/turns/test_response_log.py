"""Logs that are not what their readers expect: shorter than before, or of another version."""

import pytest

from conversation.entries import VERSION, Delta, pack
from conversation.ports import Write
from kosmosx_stream.protocol.errors import NotFound, Unavailable
from tests.kosmosx_stream.instances import Cluster, Engine, answer, begin, finish, started


async def test_a_log_that_lost_what_was_read_is_not_papered_over(cluster: Cluster) -> None:
    async with cluster.instance(Engine()) as instance:
        await begin(instance)
        last = len(await finish(instance)) - 1
        assert [batch async for batch in instance.hub.follow("resp", last)] == []
        cluster.log._logs["resp"] = cluster.log._logs["resp"][:5]  # Restored from an older state.
        with pytest.raises(NotFound, match=f"no event {last} to go on after") as told:
            await anext(instance.hub.follow("resp", last))
        assert told.value.code == "log_regressed"


@pytest.mark.parametrize("left", [0, 3, 4])
async def test_a_log_that_is_set_back_while_it_is_read(cluster: Cluster, left: int) -> None:
    """Also where it has grown again, by other tokens."""
    async with (
        cluster.instance(Engine(stalls=[5])) as owner,
        cluster.instance(Engine()) as other,
    ):
        await begin(owner)
        await owner.engine.stalled.wait()
        events = other.hub.follow("resp")
        last = (await anext(events))[-1].sequence
        log = cluster.log._logs["resp"]
        log[left:] = [pack(Delta((1,), "x"))] * 4 if left == 4 else []
        with pytest.raises(NotFound, match=f"no event {last} to go on after: the log was set"):
            await anext(events)


async def test_a_live_response_is_not_followed_from_where_it_is_not_yet(cluster: Cluster) -> None:
    async with cluster.instance(Engine(stalls=[5])) as instance:
        await begin(instance)
        await instance.engine.stalled.wait()
        with pytest.raises(NotFound) as told:
            await anext(instance.hub.follow("resp", 100))
        assert told.value.code == "log_regressed"


def newer(data: bytes) -> bytes:
    return bytes((VERSION + 1,)) + data[1:]


async def test_a_newer_log_is_left_to_newer_servers(cluster: Cluster) -> None:
    """Its lease is not taken in vain, and the others that were lost with it go on."""
    lease = await cluster.log.acquire("newer", 1)
    assert lease is not None
    entries = newer(pack(started("newer"))), newer(pack(Delta((1,), "a")))
    await cluster.log.append([Write(lease=lease, expected=0, entries=entries)], 1)
    async with cluster.instance(Engine(stalls=[5])) as first:
        await begin(first)
        await first.engine.stalled.wait()
    cluster.lapse()
    async with cluster.instance(Engine()) as instance:
        for _ in range(2):
            await instance.sweeper.sweep()
        assert (await finish(instance))[-1] == "response.completed"
        with pytest.raises(Unavailable, match=f"version {VERSION + 1}.*reads {VERSION}") as told:
            await anext(instance.hub.follow("newer"))
        assert told.value.code == "log_version_unknown"
    assert await cluster.token_ids() == answer()
    again = await cluster.log.acquire("newer", 1)
    assert again is not None
    assert again.epoch == lease.epoch + 1
