"""Deadlines of sends."""

import asyncio

import pytest

from kosmosx_stream.transports.promptly import within


async def ready(result: object) -> object:
    if isinstance(result, Exception):
        raise result
    return result


async def slow(ended: list[str], *, steps: int = 1) -> str:
    try:
        for _ in range(steps):
            await asyncio.sleep(0)
        if not steps:
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        ended.append("cancelled")
        raise
    return "done"


async def test_what_does_not_wait_needs_no_time() -> None:
    assert await within(0, ready("done")) == "done"
    with pytest.raises(ValueError, match="wrong"):
        await within(0, ready(ValueError("wrong")))


async def test_what_waits_goes_on() -> None:
    assert await within(60, slow([], steps=3)) == "done"


async def test_what_waits_too_long_is_ended() -> None:
    ended: list[str] = []
    with pytest.raises(TimeoutError):
        await within(0, slow(ended, steps=0))
    assert ended == ["cancelled"]


async def test_a_cancellation_reaches_what_waits() -> None:
    ended: list[str] = []
    task = asyncio.create_task(within(60, slow(ended, steps=0)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["cancelled"]
    assert task.cancelled()
