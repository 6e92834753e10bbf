"""What stands in for asyncio.Queue and asyncio.Event does what they do."""

import asyncio

import pytest

from kosmosx_stream.limits.inbox import Gate, Inbox


async def test_messages_come_in_their_order() -> None:
    inbox = Inbox[str]()
    reading = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    for message in "abc":
        inbox.put_nowait(message)
    assert [await reading, await inbox.get(), inbox.empty()] == ["a", "b", False]
    assert [await inbox.get(), inbox.empty()] == ["c", True]


async def test_nothing_is_lost_with_a_reader_that_was_cancelled() -> None:
    """... not even what came in the same turn of the loop."""
    inbox = Inbox[str]()
    reading = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    inbox.put_nowait("a")
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    inbox.put_nowait("b")
    assert [await inbox.get(), await inbox.get()] == ["a", "b"]


async def test_a_gate_lets_all_through_once_it_is_open() -> None:
    gate = Gate()
    await gate.wait()
    gate.clear()
    gate.clear()
    waiting = [asyncio.create_task(gate.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    assert [gate.is_set(), waiting[1].done(), waiting[2].done()] == [False, False, False]
    gate.set()
    await asyncio.gather(*waiting[1:])
    assert gate.is_set()
