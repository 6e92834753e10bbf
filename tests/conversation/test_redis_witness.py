"""A store that was set back is found out by whoever's commits it lacks, before anything grows."""

import asyncio

import pytest
from redis.asyncio import Redis

from conversation import redis_witness
from conversation.ports import Fenced, Lease, Write
from conversation.redis_connection import key
from conversation.redis_log import RedisEventLog
from tests.conversation.conftest import RETENTION_S
from tests.conversation.leases import TTL_S, acquired, verdict
from tests.older_state import set_back, state_of


@pytest.fixture
def log(redis: Redis) -> RedisEventLog:
    return RedisEventLog(redis, retention_s=RETENTION_S)


@pytest.fixture
def other(redis: Redis) -> RedisEventLog:
    """Another server's."""
    return RedisEventLog(redis, retention_s=RETENTION_S)


async def append(log: RedisEventLog, lease: Lease, *entries: bytes, at: int = 0) -> None:
    assert await verdict(log, Write(lease=lease, expected=at, entries=entries)) is None


async def test_what_lost_a_commit_is_marked_though_it_grew_again_elsewhere(
    log: RedisEventLog, other: RedisEventLog, redis: Redis
) -> None:
    lease = await acquired(log)
    await append(log, lease, b"a")
    older = await state_of(redis)
    await append(log, lease, b"b", at=1)
    await set_back(redis, older, "resp_1")
    adopted = await acquired(other)
    for position in range(1, 5):
        await append(other, adopted, b"x", at=position)
    assert not await other.was_set_back("resp_1")  # It knows nothing of what was lost.
    assert isinstance(await verdict(log, Write(lease=lease, expected=2, entries=(b"c",))), Fenced)
    assert await other.was_set_back("resp_1")


async def test_an_owner_that_goes_on_marks_before_it_writes(
    log: RedisEventLog, other: RedisEventLog, redis: Redis
) -> None:
    one, two = await acquired(log), await acquired(log, "resp_2")
    await append(log, one, b"a")
    await append(log, two, b"a")
    older = await state_of(redis)
    await append(log, one, b"b", at=1)
    await set_back(redis, older)
    begun = await acquired(log, "resp_new")
    await append(log, begun, b"a")
    live = ("resp_1", "resp_2", "resp_new")
    assert [await other.was_set_back(each) for each in live] == [True, True, False]


async def test_who_looks_for_lapsed_leases_marks_what_had_ended(
    log: RedisEventLog, other: RedisEventLog, redis: Redis
) -> None:
    lease = await acquired(log)
    await append(log, lease, b"a")
    older = await state_of(redis)
    await append(log, lease, b"end", at=1)
    await log.release(lease)
    await set_back(redis, older, "resp_1")
    assert (await log.expired(10)).response_ids == ["resp_1"]
    assert await other.was_set_back("resp_1")
    adopted = await acquired(other)
    await other.release(adopted)
    assert await redis.ttl(key("set-back", "resp_1")) > 500


async def test_what_was_lost_once_is_not_lost_again(log: RedisEventLog, redis: Redis) -> None:
    lease = await acquired(log)
    older = await state_of(redis)
    await append(log, lease, b"a")
    await set_back(redis, older)
    assert not await log.was_set_back("resp_1")  # Nothing of it was there to be read.
    await append(log, lease, b"a")
    await log.expired(10)
    assert not await log.was_set_back("resp_1")


async def test_nothing_is_marked_where_nothing_was_lost(
    log: RedisEventLog, other: RedisEventLog, monkeypatch: pytest.MonkeyPatch, redis: Redis
) -> None:
    leases = [await acquired(log, f"resp_{i}") for i in range(8)]
    writes = [append(log, lease, b"a") for lease in leases]  # Their replies come in any order.
    await asyncio.gather(*writes, log.expired(10), other.expired(10))
    monkeypatch.setattr(redis_witness, "REMEMBERED_S", -1)
    await redis.delete(*await redis.keys(key("commits", "*")))  # As they expire in the end.
    await log.expired(10)
    await append(log, leases[0], b"b", at=1)
    assert not await log.was_set_back("resp_0")
    assert await verdict(log, Write(lease=leases[0], expected=2, entries=(b"c",))) is None
    assert await log.renew(leases, TTL_S) == [True] * 8
