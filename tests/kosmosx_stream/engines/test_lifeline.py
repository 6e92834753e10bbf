"""Waits that end when what they wait for is lost."""

import asyncio

import pytest

from kosmosx_stream.engines.lifeline import Lifeline
from kosmosx_stream.engines.port import EngineDead


async def test_every_wait_ends_when_the_engine_is_lost() -> None:
    life = Lifeline()

    async def wait() -> None:
        with life.hold():
            await asyncio.Event().wait()

    waits = [asyncio.create_task(wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert life.waited_for
    life.lose("it burnt")
    life.lose("and sank")
    for each in waits:
        with pytest.raises(EngineDead, match="it burnt"):
            await each
    assert not life.waited_for


async def test_a_lost_engine_is_not_waited_for() -> None:
    life = Lifeline()
    life.check()
    life.lose("it burnt")
    with pytest.raises(EngineDead):
        life.check()
    with pytest.raises(EngineDead), life.hold():
        pytest.fail("it waited")


async def test_a_timeout_of_the_wait_itself_is_its_own() -> None:
    life = Lifeline()
    with pytest.raises(TimeoutError), life.hold():
        raise TimeoutError
    assert life.lost is None


async def test_a_wait_that_is_cut_leaves_its_task_uncancelled() -> None:
    life = Lifeline()
    began = asyncio.Event()

    async def held() -> None:
        with life.hold():
            began.set()
            await asyncio.Event().wait()

    async def wait() -> int:
        with pytest.raises(EngineDead):
            await held()
        task = asyncio.current_task()
        assert task is not None
        await asyncio.sleep(0)
        return task.cancelling()

    waiting = asyncio.create_task(wait())
    await began.wait()
    life.lose("it burnt")
    assert await waiting == 0


async def test_who_is_cancelled_while_the_engine_is_lost_is_cancelled() -> None:
    life = Lifeline()
    began = asyncio.Event()

    async def wait() -> None:
        with life.hold():
            began.set()
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await began.wait()
    waiting.cancel()
    life.lose("it burnt")
    with pytest.raises(asyncio.CancelledError):
        await waiting
