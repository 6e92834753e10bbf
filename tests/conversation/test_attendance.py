"""The attendance port, on both adapters."""

import time
from collections.abc import Callable

import pytest
from redis.asyncio import Redis

from conversation.memory_attendance import MemoryAttendance
from conversation.ports import Attendance
from conversation.redis_attendance import RedisAttendance

Instance = Callable[[str], Attendance]
TTL_S = 0.2


@pytest.fixture(params=["memory", "redis"])
def instance(request: pytest.FixtureRequest) -> Instance:
    """Makes the attendance of an instance of that name."""
    if request.param == "memory":
        notes: dict[str, tuple[str, float]] = {}
        return lambda name: MemoryAttendance(notes, name)
    redis: Redis = request.getfixturevalue("redis")
    return lambda name: RedisAttendance(redis, name)


async def test_only_others_are_elsewhere(instance: Instance) -> None:
    one, two = instance("one"), instance("two")
    assert not await one.elsewhere("resp_1")
    await one.note(["resp_1", "sess_1"], 60)
    for name in ("resp_1", "sess_1"):
        assert not await one.elsewhere(name)
        assert await two.elsewhere(name)
    assert not await two.elsewhere("resp_2")
    await one.note([], 60)


async def test_a_note_lapses_unless_it_is_repeated(instance: Instance) -> None:
    one, two = instance("one"), instance("two")
    await one.note(["resp_1"], TTL_S)
    await one.note(["resp_2"], 60)
    deadline = time.monotonic() + 10
    while await two.elsewhere("resp_1"):
        assert time.monotonic() < deadline
    assert await two.elsewhere("resp_2")


async def test_whoever_noted_last_counts(instance: Instance) -> None:
    one, two = instance("one"), instance("two")
    await one.note(["sess_1"], 60)
    await two.note(["sess_1"], 60)
    assert await one.elsewhere("sess_1")
    assert not await two.elsewhere("sess_1")
