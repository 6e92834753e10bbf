"""A conversation takes one turn at a time, on however many instances."""

import pytest
from msgspec.structs import replace

from kosmosx_stream.protocol.errors import Conflict as ConflictError
from kosmosx_stream.protocol.errors import NotFound as NotFoundError
from tests.kosmosx_stream.instances import (
    Cluster,
    Engine,
    answer,
    finish,
    lose_owner,
    say_in_conversation,
    started,
)


async def test_two_instances_in_one_conversation(conversing: Cluster) -> None:
    """The second is refused before a token is generated, and let in after the first one's end."""
    async with (
        conversing.instance(Engine(stalls=[5])) as first,
        conversing.instance(Engine()) as second,
    ):
        await say_in_conversation(conversing, first, "resp")
        with pytest.raises(ConflictError) as refused:
            await say_in_conversation(conversing, second, "late")
        assert refused.value.code == "conversation_locked"
        assert await conversing.log.read("late") == []
        first.engine.go.set()
        assert (await finish(first))[-1] == "response.completed"
        await say_in_conversation(conversing, second, "next")
        assert (await finish(second, "next"))[-1] == "response.completed"
    chain = await conversing.history.chain("acct", "next")
    assert [turn.response_id for turn in chain] == ["resp", "next"]


async def test_an_adopted_turn_keeps_its_conversation(conversing: Cluster) -> None:
    async with (
        conversing.instance(Engine(stalls=[5])) as first,
        conversing.instance(Engine(stalls=[8])) as second,
    ):
        await say_in_conversation(conversing, first, "resp")
        await lose_owner(first)
        conversing.lapse()
        for moment in ("lapsed", "adopted"):
            with pytest.raises(ConflictError):
                await say_in_conversation(conversing, second, moment)
            await second.sweeper.sweep()
        second.engine.go.set()
        assert (await finish(second))[-1] == "response.completed"
    assert (await conversing.history.conversation("acct", "conv")).head_id == "resp"


async def test_a_failed_turn_frees_its_conversation(conversing: Cluster) -> None:
    async with conversing.instance(Engine(deaths=[3, 3, 3, 3])) as instance:
        await say_in_conversation(conversing, instance, "resp")
        assert (await finish(instance))[-1] == "response.failed"
        await say_in_conversation(conversing, instance, "next")
        assert (await finish(instance, "next"))[-1] == "response.completed"
    assert (await conversing.history.conversation("acct", "conv")).head_id == "next"


async def test_a_deleted_conversation_takes_no_turn(conversing: Cluster) -> None:
    """It was there when the turn was admitted."""
    turn = replace(started(), conversation_id="gone")
    async with conversing.instance(Engine()) as instance:
        session = instance.hub.sessions.resume("sess", "acct", single_turn=False)
        with pytest.raises(NotFoundError):
            await instance.hub.say(session, turn)


async def test_a_turn_that_was_cancelled_from_elsewhere_frees_its_conversation(
    conversing: Cluster,
) -> None:
    async with (
        conversing.instance(Engine(stalls=[5])) as first,
        conversing.instance(Engine()) as second,
    ):
        await say_in_conversation(conversing, first, "resp")
        await first.engine.stalled.wait()
        await second.hub.ending.cancel("acct", "resp")
        await say_in_conversation(conversing, second, "next")
        assert (await finish(second, "next"))[-1] == "response.completed"
    assert len(await conversing.history.chain("acct", "next")) == 2


async def test_an_answer_to_a_conversation_that_expired_stands_outside(
    conversing: Cluster,
) -> None:
    """Its reader is told that nobody will remember it, and it is billed."""
    async with conversing.instance(Engine(stalls=[5])) as instance:
        await say_in_conversation(conversing, instance, "resp")
        await instance.engine.stalled.wait()
        conversing.history._conversations.clear()
        instance.engine.go.set()
        assert (await finish(instance))[-1] == "response.failed"
    ended = (await conversing.entries())[-1]
    assert (ended.reason, ended.error_code) == ("error", "conversation_conflict")
    assert await conversing.token_ids() == answer()
