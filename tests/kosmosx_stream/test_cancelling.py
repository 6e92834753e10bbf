"""Tasks end, even those that lose a cancellation."""

import asyncio

from kosmosx_stream.cancelling import end, meanwhile


async def test_a_task_that_lost_a_cancellation_ends_at_the_next() -> None:
    lost = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            lost.set()  # As if another error had come in its place.
        await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await end(task, patience_s=0.01)
    assert lost.is_set()
    assert task.cancelled()


async def test_what_has_ended_is_left_alone() -> None:
    task = asyncio.create_task(asyncio.sleep(0))
    await task
    await end(task)
    await end()
    assert not task.cancelled()


async def test_what_runs_meanwhile_ends_when_it_is_left() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with meanwhile(work()):
        await began.wait()
        assert not ended.is_set()
    assert ended.is_set()


async def test_what_fails_meanwhile_ends_nothing_else() -> None:
    failed, done = asyncio.Event(), asyncio.Event()

    async def fail() -> None:
        failed.set()
        raise KeyError

    async def work() -> None:
        await failed.wait()
        done.set()

    async with meanwhile(fail(), work()):
        await done.wait()
