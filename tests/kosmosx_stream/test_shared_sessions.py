"""Sessions that several instances know."""

import asyncio
import time

import pytest
from msgspec.structs import replace

from conversation.entries import Delta as LogDelta
from conversation.entries import Ended, Started, pack
from conversation.ports import Lease, Write
from kosmosx_stream.protocol.errors import Conflict as Refusal
from kosmosx_stream.turns.sessions import InUseElsewhere
from tests.kosmosx_stream.instances import (
    PRINCIPAL,
    PROMPT,
    Cluster,
    Engine,
    Instance,
    begin,
    finish,
    lose_owner,
    started,
)

OTHER = "resp_other"


def many_turns(response_id: str) -> Started:
    return replace(started(response_id), single_turn=False)


async def say(instance: Instance, response_id: str) -> None:
    session = instance.hub.sessions.resume("sess", "acct", single_turn=False)
    await instance.hub.say(session, many_turns(response_id))


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
        closed = await there.closed
        assert closed is not None
        assert closed.close_reason == "disconnected"


async def test_a_connection_is_told_to_the_others_at_once(cluster: Cluster) -> None:
    """Who comes back for a moment, again and again, is there all the same."""
    cluster.settings = cluster.settings.model_copy(update={"disconnect_grace_s": 3600})
    async with cluster.instance(Engine()) as former, cluster.instance(Engine()) as present:
        await former.hub.sessions.join("sess", PRINCIPAL)
        there = await present.hub.sessions.join("sess", PRINCIPAL)
        with present.hub.sessions.connection(there):
            pass
        while not await former.attendance.elsewhere("sess"):  # noqa: ASYNC110 - the port has no event
            await asyncio.sleep(0)


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


async def test_closing_a_session_ends_its_turns_elsewhere_first(cluster: Cluster) -> None:
    """The receipt has what they generated, and nothing begins in it meanwhile."""
    async with (
        cluster.instance(Engine(stalls=[5])) as owner,
        cluster.instance(Engine(stalls=[3])) as other,
    ):
        await say(owner, "resp")
        await say(other, "resp_other")
        reading = [asyncio.create_task(finish(owner)), asyncio.create_task(finish(other, OTHER))]
        await owner.engine.stalled.wait()
        await other.engine.stalled.wait()
        record = await other.hub.sessions.close("sess", PRINCIPAL)
        assert (record.state, record.close_reason) == ("closed", "client")
        tokens = 2 * len(PROMPT) + 5 + 3
        assert (
            sum(row.raw_units for row in await cluster.store.ledger.rows("acct", "sess")) == tokens
        )
        assert await other.hub.sessions.close("sess", PRINCIPAL) == record
        with pytest.raises(Refusal, match="is closed"):
            await say(owner, "resp_late")
        await owner.hub.heartbeat.renew()
        assert {(await each)[-1] for each in reading} == {"response.incomplete"}


async def test_a_session_is_closed_on_two_instances_at_once(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where one has just taken the other one's turn: the receipt waits for it."""
    seize, seized, go_on = cluster.log.seize, asyncio.Event(), asyncio.Event()

    async def seize_slowly(response_id: str, ttl_s: float) -> Lease | None:
        lease = await seize(response_id, ttl_s)
        if not seized.is_set():
            seized.set()
            await go_on.wait()
        return lease

    monkeypatch.setattr(cluster.log, "seize", seize_slowly)
    async with cluster.instance(Engine(stalls=[5])) as owner, cluster.instance(Engine()) as other:
        await say(owner, "resp")
        await owner.engine.stalled.wait()
        elsewhere = asyncio.create_task(other.hub.sessions.close("sess", PRINCIPAL))
        await seized.wait()
        record = await owner.hub.sessions.close("sess", PRINCIPAL)
        go_on.set()
        assert await elsewhere == record
    assert record.receipt is not None
    (line,) = record.receipt.lines
    assert line.units == len(PROMPT) + 5


async def test_nothing_begins_in_a_session_that_is_being_closed(cluster: Cluster) -> None:
    """... also where the books have it open still."""
    async with cluster.instance(Engine()) as instance:
        await cluster.log.live_in("sess", bar_s=60)
        with pytest.raises(Refusal, match="is closed"):
            await say(instance, "resp")


async def test_a_session_is_left_to_the_instance_that_goes_on(cluster: Cluster) -> None:
    cluster.settings = cluster.settings.model_copy(update={"disconnect_grace_s": 0})
    async with (
        cluster.instance(Engine(stalls=[5])) as owner,
        cluster.instance(Engine()) as left,
    ):
        await say(owner, "resp")
        await owner.engine.stalled.wait()
        session = await left.hub.sessions.join("sess", PRINCIPAL)
        with left.hub.sessions.connection(session):
            pass
        with pytest.raises(InUseElsewhere):
            await session.closed
        assert (await cluster.store.ledger.session("acct", "sess")).state == "open"
        owner.engine.go.set()
        await finish(owner)


async def test_what_has_ended_elsewhere_is_settled_before_the_receipt(cluster: Cluster) -> None:
    """Its owner has written the end, and not yet the ledger."""
    async with cluster.instance(Engine()) as instance:
        session = await instance.hub.sessions.join("sess", PRINCIPAL)
        lease = await cluster.log.acquire("resp", 60, session_id="sess")
        assert lease is not None
        entries = (many_turns("resp"), LogDelta((100, 101), "de"), Ended(reason="stop", at=2.0))
        packed = tuple(pack(entry) for entry in entries)
        await cluster.log.append([Write(lease=lease, expected=0, entries=packed)], 60)
        instance.hub.sessions.end(session, "disconnected")
        closed = await session.closed
        assert closed is not None
        assert closed.close_reason == "disconnected"
    (row,) = await cluster.store.ledger.rows("acct", "sess")
    assert row.raw_units == len(PROMPT) + 2


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
        await second.hub.drain.run()
        assert (await cluster.store.ledger.session("acct", "sess")).state == "open"
