"""Turns that outlive their owners, and go on after their last token."""

import asyncio
import time

import pytest

from conversation.entries import Delta as LogDelta
from conversation.entries import Ended, pack
from conversation.ports import Write
from kosmosx_stream.telemetry.telemetry import Telemetry
from kosmosx_stream.turns import adoption
from kosmosx_stream.turns.adoption import MAX_ADOPTIONS
from kosmosx_stream.turns.models import Model
from kosmosx_stream.turns.runner import Runner
from tests.kosmosx_stream.instances import (
    END,
    LENGTH,
    PROMPT,
    Cluster,
    Engine,
    Format,
    Instance,
    Spelled,
    answer,
    begin,
    finish,
    lose_owner,
    read_events,
    started,
)


@pytest.mark.parametrize("position", range(1, LENGTH))
async def test_a_lost_turn_goes_on_after_its_last_token(cluster: Cluster, position: int) -> None:
    async with (
        cluster.instance(Engine(stalls=[position])) as first,
        cluster.instance(Engine()) as second,
    ):
        await begin(first)
        await lose_owner(first)
        before = await cluster.token_ids()
        assert before == answer()[:position]
        await second.sweeper.sweep()
        assert len(await cluster.entries()) == 1 + position  # The lease is still alive.
        cluster.lapse()
        await second.sweeper.sweep()
        assert (await finish(second))[-1] == "response.completed"
    assert await cluster.token_ids() == answer()
    (request,) = second.engine.requests
    assert request.prompt_ids == (*PROMPT, *before)
    turn = await cluster.history.turn("acct", "resp")
    assert turn.answer_ids == answer()
    assert turn.output[0].content[0].text == "".join(chr(t) for t in answer() if t != END)
    record = await cluster.store.ledger.session("acct", "sess")
    assert record.state == "closed"
    (row,) = await cluster.store.ledger.rows("acct", "sess")
    assert row.raw_units == len(PROMPT) + LENGTH


async def test_owners_may_renew_what_lapsed_as_the_store_s_clock_jumped(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adoption, "SECOND_LOOK_S", 0.1)
    async with (
        cluster.instance(Engine(stalls=[3])) as owner,
        cluster.instance(Engine()) as other,
    ):
        await begin(owner)
        await owner.engine.stalled.wait()
        await other.sweeper.sweep()
        cluster.lapse()
        sweeping = asyncio.create_task(other.sweeper.sweep())
        for _ in range(50):  # It would have taken over by now, if it did not look again.
            await asyncio.sleep(0)
        await owner.hub.heartbeat.renew()
        await sweeping
        assert other.engine.requests == []


async def test_the_session_of_a_lost_turn_is_not_idle(cluster: Cluster) -> None:
    """However long it was that nobody could take the turn over."""
    cluster.settings = cluster.settings.model_copy(update={"session_idle_s": 0.001})
    ledger = cluster.store.ledger
    async with (
        cluster.instance(Engine(stalls=[5])) as first,
        cluster.instance(Engine()) as second,
    ):
        await begin(first)
        await lose_owner(first)
        await ledger.open_session("idle", "acct", None, time.time())
        while (await ledger.session("acct", "idle")).state == "open":
            await second.sweeper.sweep()
        assert (await ledger.session("acct", "sess")).state == "open"
        cluster.lapse()
        await second.sweeper.sweep()
        assert (await finish(second))[-1] == "response.completed"
    assert await cluster.token_ids() == answer()


async def test_only_the_end_was_missing(cluster: Cluster) -> None:
    """The last token is in the log, and the entry that ends it is not."""
    lease = await cluster.log.acquire("resp", 1)
    assert lease is not None
    deltas = [LogDelta((token,), chr(token)) for token in answer()]
    async with cluster.instance(Engine()) as instance:
        entries = tuple(pack(entry) for entry in (started(), *deltas))
        await cluster.log.append([Write(lease=lease, expected=0, entries=entries)], 1)
        cluster.lapse()
        await instance.sweeper.sweep()
        await finish(instance)
        assert instance.engine.requests == []
    assert (await cluster.entries())[-1].reason == "stop"
    assert await cluster.token_ids() == answer()


async def test_a_turn_that_is_lost_too_often_is_ended(cluster: Cluster) -> None:
    for loss in range(MAX_ADOPTIONS + 1):
        async with cluster.instance(Engine(stalls=[loss + 1])) as instance:
            if loss:
                await instance.sweeper.sweep()
            else:
                await begin(instance)
            await lose_owner(instance)
        cluster.lapse()
    async with cluster.instance(Engine()) as last:
        await last.sweeper.sweep()
        assert last.engine.requests == []
    end = (await cluster.entries())[-1]
    assert isinstance(end, Ended)
    assert (end.reason, end.error_code) == ("error", "server_error")
    (row,) = await cluster.store.ledger.rows("acct", "sess")
    assert row.raw_units == len(PROMPT) + MAX_ADOPTIONS + 1


async def test_a_lost_turn_of_another_model_is_ended(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cluster.instance(Engine(stalls=[3])) as first:
        await begin(first)
        await lose_owner(first)
    cluster.lapse()
    monkeypatch.setattr(Format, "tokens", "syllables")
    async with cluster.instance(Engine()) as last:
        await last.sweeper.sweep()
        assert last.engine.requests == []
    end = (await cluster.entries())[-1]
    assert isinstance(end, Ended)
    assert (end.reason, end.error_code) == ("error", "server_error")
    (row,) = await cluster.store.ledger.rows("acct", "sess")
    assert row.raw_units == len(PROMPT) + 3


async def test_a_reader_goes_on_where_the_turn_goes_on(cluster: Cluster) -> None:
    """A reader on the old owner gets the rest through the log, each event once."""
    async with (
        cluster.instance(Engine(stalls=[5])) as first,
        cluster.instance(Engine()) as second,
    ):
        await begin(first)
        reading = asyncio.create_task(read(first))
        await lose_owner(first)
        cluster.lapse()
        await second.sweeper.sweep()
        numbers = await reading
    assert numbers == list(range(len(numbers)))
    assert len(numbers) == 2 + 2 + (LENGTH - 1) + 3 + 1


async def read(instance: Instance) -> list[int]:
    return [event.sequence async for batch in instance.hub.follow("resp") for event in batch]


async def test_any_projection_goes_on_where_the_turn_goes_on(cluster: Cluster) -> None:
    async with (
        cluster.instance(Engine(stalls=[5])) as first,
        cluster.instance(Engine()) as second,
    ):
        await begin(first)
        reading = asyncio.create_task(read_events(first, Spelled))
        await lose_owner(first)
        cluster.lapse()
        await second.sweeper.sweep()
        assert [event.data.decode() for event in await reading] == list(map(chr, answer()[:-1]))


async def test_a_lost_turn_goes_on_with_the_model_that_began_it(cluster: Cluster) -> None:
    """A server may have a second, cheaper one."""
    async with (
        cluster.instance(Engine(stalls=[5])) as first,
        cluster.instance(Engine()) as second,
    ):
        its_own = Engine()
        runner = Runner(its_own, cluster.history, Telemetry.off().meters, patience_s=1)
        first_model = second.hub.models.of(started())
        second.hub.models.serve({"kosmos-x": first_model, "m": Model(runner, Format())})
        await begin(first)
        await lose_owner(first)
        cluster.lapse()
        await second.sweeper.sweep()
        assert (await finish(second))[-1] == "response.completed"
        assert second.engine.requests == []
        assert len(its_own.requests) == 1
    assert await cluster.token_ids() == answer()
