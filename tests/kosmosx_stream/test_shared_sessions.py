"""Sessions that several instances know."""

import time

from msgspec.structs import replace

from tests.kosmosx_stream.instances import (
    PRINCIPAL,
    Cluster,
    Engine,
    begin,
    finish,
    lose_owner,
    started,
)


async def test_a_session_that_went_elsewhere_is_not_closed(cluster: Cluster) -> None:
    cluster.settings = cluster.settings.model_copy(update={"disconnect_grace_s": 0.3})
    async with cluster.instance(Engine()) as former, cluster.instance(Engine()) as present:
        here = await former.hub.sessions.join("sess", PRINCIPAL)
        there = await present.hub.sessions.join("sess", PRINCIPAL)
        with present.hub.sessions.connection(there):
            await present.hub.sessions.note_connected()
            with former.hub.sessions.connection(here):
                pass
            await former.attendance.asked.wait()
            assert (await cluster.store.ledger.session("acct", "sess")).state == "open"
        assert (await there.closed).close_reason == "disconnected"


async def test_a_session_in_use_is_not_closed_from_elsewhere(cluster: Cluster) -> None:
    async with (
        cluster.instance(Engine(stalls=[5])) as owner,
        cluster.instance(Engine()) as other,
    ):
        await begin(owner)
        await owner.engine.stalled.wait()
        await owner.hub.sessions.touch_used()
        (idle,) = await cluster.store.ledger.idle_sessions(time.time() + 1)
        await other.hub.sessions.close_idle(idle, before=time.time() - 60)
        assert (await cluster.store.ledger.session("acct", "sess")).state == "open"
        await cluster.store.ledger.close_session("acct", "sess", time.time(), "client")
        await owner.hub.sessions.touch_used()
        assert (await finish(owner))[-1] == "response.incomplete"


async def test_an_adopted_turn_does_not_close_the_session_of_others(cluster: Cluster) -> None:
    async with (
        cluster.instance(Engine(stalls=[5])) as first,
        cluster.instance(Engine()) as second,
    ):
        session = first.hub.sessions.resume("sess", "acct", single_turn=False)
        await first.hub.say(session, replace(started(), single_turn=False))
        await lose_owner(first)
        cluster.lapse()
        await second.sweeper.sweep()
        await finish(second)
        await second.hub.drain()
        assert (await cluster.store.ledger.session("acct", "sess")).state == "open"
