"""A name stands for one response, whoever asks, and however its owner fares."""

import asyncio

from redis.asyncio import Redis

from conversation.ports import (
    EventLog,
    Fenced,
    Lease,
    Reservation,
    Reserved,
    Write,
)
from tests.conversation.conftest import redis_stores
from tests.conversation.leases import LAPSED_S, TTL_S, verdict

ASKED = Reservation(name="name", fingerprint="fingerprint")


async def reserved(log: EventLog, response_id: str, ttl_s: float = TTL_S) -> Lease | Reserved:
    return await log.reserve(ASKED, response_id, ttl_s=ttl_s, kept_s=TTL_S)


async def begun(log: EventLog, lease: Lease) -> Exception | None:
    held = await log.acquire(lease.response_id, TTL_S, None, lease)
    assert held == lease
    return await verdict(log, Write(lease=lease, expected=0, entries=(b"started",)))


async def test_a_name_stands_for_its_first_response(log: EventLog) -> None:
    lease = await reserved(log, "resp_1")
    assert lease == Lease("resp_1", 1)
    assert await reserved(log, "resp_2") == Reserved("resp_1", "fingerprint", started=False)
    assert await log.acquire("resp_1", TTL_S) is None  # A sweeper does not mistake it for lost.
    assert await begun(log, lease) is None
    await log.release(lease)
    assert await reserved(log, "resp_3") == Reserved("resp_1", "fingerprint", started=True)
    other = Reservation(name="other", fingerprint="fingerprint")
    assert isinstance(await log.reserve(other, "resp_4", ttl_s=TTL_S, kept_s=TTL_S), Lease)


async def test_a_refused_request_gives_its_name_back(log: EventLog) -> None:
    lease = await reserved(log, "resp_1")
    assert isinstance(lease, Lease)
    await log.unreserve(ASKED, lease)
    assert (await log.expired(10)).response_ids == []
    again = await reserved(log, "resp_2")
    assert again == Lease("resp_2", 1)
    await log.unreserve(ASKED, lease)  # The first one has no say in it any more.
    assert isinstance(await reserved(log, "resp_3"), Reserved)


async def test_what_has_begun_keeps_its_name(log: EventLog) -> None:
    lease = await reserved(log, "resp_1")
    assert isinstance(lease, Lease)
    assert await begun(log, lease) is None
    await log.unreserve(ASKED, lease)
    assert await reserved(log, "resp_2") == Reserved("resp_1", "fingerprint", started=True)
    assert await verdict(log, Write(lease=lease, expected=1, entries=(b"more",))) is None


async def test_the_name_of_a_dead_owner_is_taken_over(log: EventLog) -> None:
    """Should the owner live after all, it can say nothing: one response, whatever happens."""
    zombie = await reserved(log, "resp_1", LAPSED_S)
    assert isinstance(zombie, Lease)
    lease = await reserved(log, "resp_2")
    assert isinstance(lease, Lease)
    assert await log.acquire("resp_1", TTL_S, None, zombie) is None
    write = Write(lease=zombie, expected=0, entries=(b"started",))
    assert isinstance(await verdict(log, write), Fenced)
    assert await begun(log, lease) is None


async def test_one_of_many_gets_the_name(log: EventLog) -> None:
    found = await asyncio.gather(*(reserved(log, f"resp_{number}") for number in range(20)))
    leases = [each for each in found if isinstance(each, Lease)]
    assert len(leases) == 1
    assert {each.response_id for each in found} == {leases[0].response_id}


async def test_a_name_is_kept_for_its_time(redis: Redis) -> None:
    log = redis_stores(redis).log
    await log.reserve(ASKED, "resp_1", ttl_s=TTL_S, kept_s=100.0)
    (key,) = await redis.keys("*reservation*")
    assert 99_000 < await redis.pttl(key) <= 100_000
