"""A grace period is counted from the last time."""

import asyncio

from kosmosx_stream.turns.grace import GracePeriods


async def test_a_period_that_begins_anew_ends_once() -> None:
    periods = GracePeriods(0.01)
    over: asyncio.Queue[str] = asyncio.Queue()
    periods.begin("session", lambda: over.put_nowait("from the first time"))
    periods.begin("session", lambda: over.put_nowait("from the last time"))
    assert await over.get() == "from the last time"
    periods.begin("session", lambda: over.put_nowait("again"))
    assert await over.get() == "again"


async def test_periods_of_others_go_on() -> None:
    periods = GracePeriods(0.01)
    over: asyncio.Queue[str] = asyncio.Queue()
    for name in ("one", "two"):
        periods.begin(name, lambda name=name: over.put_nowait(name))
    assert {await over.get(), await over.get()} == {"one", "two"}
