"""The event log in Redis through lost replies, kills, full memory and unsafe settings."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlparse

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError
from redis.exceptions import ConnectionError as RedisConnectionError

from conversation.ports import Lease, LogUnavailable, Write
from conversation.redis_connection import connect, key
from conversation.redis_durability import check_settings
from conversation.redis_log import RedisEventLog
from kosmosx_stream.embedded_valkey import embedded_valkey
from tests.conversation.conftest import RETENTION_S
from tests.conversation.reply_dropper import ReplyDropper
from tests.conversation.samples import turn
from tests.pair import ValkeyProcess

TTL_S = 60.0


async def acquired(log: RedisEventLog, response_id: str = "resp_1") -> Lease:
    lease = await log.acquire(response_id, TTL_S)
    assert lease is not None
    return lease


async def kill(redis: Redis) -> None:
    info = await redis.info("server")
    os.kill(info["process_id"], signal.SIGKILL)


# -- retention ---------------------------------------------------------------------------------


async def test_a_log_expires_only_after_its_release(redis: Redis) -> None:
    log = RedisEventLog(redis, retention_s=RETENTION_S)
    lease = await acquired(log)
    last = Write(lease=lease, expected=0, entries=(b"end",), turn=turn("resp_1"))
    assert await log.append([last], TTL_S) == [None]
    assert await redis.ttl(key("log", "resp_1")) == -1
    assert await redis.ttl(key("turn", "resp_1")) > 500
    await log.release(lease)
    assert await redis.ttl(key("log", "resp_1")) > 500
    assert await redis.ttl(key("epoch", "resp_1")) > 500


async def test_who_takes_a_released_response_up_again_keeps_it(redis: Redis) -> None:
    log = RedisEventLog(redis, retention_s=RETENTION_S)
    lease = await acquired(log)
    await log.append([Write(lease=lease, expected=0, entries=(b"end",))], TTL_S)
    await log.release(lease)
    await acquired(log)
    assert await redis.ttl(key("log", "resp_1")) == -1


async def test_everything_lies_in_one_slot(redis: Redis) -> None:
    log = RedisEventLog(redis, retention_s=RETENTION_S)
    await log.append([Write(lease=await acquired(log), expected=0, entries=(b"a",))], TTL_S)
    assert await redis.keys("kx:{0}:*") == await redis.keys()


# -- lost replies ------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["connection lost", "timeout"])
async def dropper(
    request: pytest.FixtureRequest, own_url: str, tmp_path: Path
) -> AsyncIterator[tuple[ReplyDropper, str]]:
    dropper = ReplyDropper(urlparse(own_url).path, hang=request.param)
    async with dropper.listening(tmp_path / "proxy.sock") as url:
        yield dropper, url


async def test_a_lost_reply_appends_once(dropper: tuple[ReplyDropper, str]) -> None:
    proxy, url = dropper
    async with connect(url, timeout_s=0.2) as redis:
        log = RedisEventLog(redis, retention_s=RETENTION_S)
        lease = await acquired(log)
        for position in range(3):
            proxy.arm(b"entry")
            write = Write(lease=lease, expected=position, entries=(b"entry %d" % position,))
            assert await log.append([write], TTL_S) == [None]
        assert await log.read("resp_1") == [b"entry 0", b"entry 1", b"entry 2"]
    assert proxy.dropped == 3


async def test_a_lost_reply_of_acquire_is_not_taken_for_a_lease(
    dropper: tuple[ReplyDropper, str],
) -> None:
    proxy, url = dropper
    async with connect(url, timeout_s=0.2) as redis:
        log = RedisEventLog(redis, retention_s=RETENTION_S)
        await acquired(log, "resp_first")
        proxy.arm(b"resp_1")
        with pytest.raises(LogUnavailable):
            await log.acquire("resp_1", 0)
        assert (await log.expired(10)).response_ids == ["resp_1"]


async def test_without_the_check_a_lost_reply_appends_twice(
    dropper: tuple[ReplyDropper, str],
) -> None:
    """The negative control: this is what redis-py's own retries do."""
    proxy, url = dropper
    naive = Redis.from_url(url, socket_timeout=0.2, retry=Retry(NoBackoff(), 1))
    async with naive:
        proxy.arm(b"entry")
        assert await naive.rpush("naive", b"entry") == 2


# -- kills -------------------------------------------------------------------------------------


async def test_kills_lose_nothing_that_was_acknowledged(own_redis: Redis) -> None:
    log = RedisEventLog(own_redis, retention_s=RETENTION_S, patience_s=0)
    leases = [await acquired(log, f"resp_{i}") for i in range(8)]
    acknowledged = 0
    for _ in range(3):
        killer, first = None, acknowledged
        with contextlib.suppress(LogUnavailable):
            for step in range(first, first + 500):
                if step == first + 20:
                    killer = asyncio.create_task(kill(own_redis))
                writes = [
                    Write(lease=lease, expected=step, entries=(b"%d" % step,)) for lease in leases
                ]
                assert await log.append(writes, TTL_S) == [None] * 8
                acknowledged = step + 1
        assert killer is not None
        await killer
        assert acknowledged < first + 500
        acknowledged = await everything_is_there(own_redis, acknowledged)


async def everything_is_there(redis: Redis, acknowledged: int) -> int:
    """Wait for the restart; the log may be one step longer than what was acknowledged."""
    log = RedisEventLog(redis, retention_s=RETENTION_S, patience_s=10)
    logs = [await log.read(f"resp_{i}") for i in range(8)]
    length = len(logs[0])
    assert length in (acknowledged, acknowledged + 1)
    assert logs == [[b"%d" % step for step in range(length)]] * 8
    return length


async def test_a_killed_server_only_makes_writers_wait(own_redis: Redis) -> None:
    log = RedisEventLog(own_redis, retention_s=RETENTION_S, patience_s=10)
    lease = await acquired(log)
    for step in range(60):
        killer = asyncio.create_task(kill(own_redis)) if step in (10, 30) else None
        write = Write(lease=lease, expected=step, entries=(b"%d" % step,))
        assert await log.append([write], TTL_S) == [None]
        if killer is not None:
            await killer
    assert await log.read("resp_1") == [b"%d" % step for step in range(60)]


async def test_a_store_that_is_gone_is_said_so(tmp_path: Path) -> None:
    async with connect(f"unix://{tmp_path}/nothing.sock") as redis:
        log = RedisEventLog(redis, retention_s=RETENTION_S, patience_s=0)
        lease = Lease("resp_1", 1)
        for call in (
            log.acquire("resp_1", TTL_S),
            log.append([Write(lease=lease, expected=0, entries=(b"a",))], TTL_S),
            log.renew([lease], TTL_S),
            log.release(lease),
            log.expired(1),
            log.read("resp_1"),
            log.delete("resp_1"),
            check_settings(redis),
        ):
            with pytest.raises(LogUnavailable):
                await call


# -- full memory -------------------------------------------------------------------------------


async def test_a_full_store_admits_nothing_and_finishes_what_runs(own_redis: Redis) -> None:
    log = RedisEventLog(own_redis, retention_s=RETENTION_S)
    lease = await acquired(log)
    await own_redis.config_set("maxmemory", 1)
    with pytest.raises(LogUnavailable, match="the store is full"):
        await log.acquire("resp_2", TTL_S, session_id="sess")
    assert await log.renew([lease], 0) == [True]
    lost, lease = lease, await acquired(log)  # Who goes on with it may do so, too.
    assert lease.epoch == lost.epoch + 1
    last = Write(lease=lease, expected=0, entries=(b"end",), turn=turn("resp_1"))
    assert await log.append([last], TTL_S) == [None]
    await log.release(lease)
    assert (await log.expired(10)).response_ids == []


# -- failover and loading ----------------------------------------------------------------------


async def test_a_demoted_server_makes_writers_wait_for_the_new_primary(
    own_url: str, tmp_path: Path
) -> None:
    """READONLY is no end: the name leads to another server by now, and so does a new connection."""
    former = urlparse(own_url).path
    proxy = ReplyDropper(former, hang=False)
    async with (
        embedded_valkey(tmp_path / "next") as next_url,
        connect(own_url) as direct,
        proxy.listening(tmp_path / "proxy.sock") as url,
        connect(url) as redis,
    ):
        log = RedisEventLog(redis, retention_s=RETENTION_S)
        await acquired(log)
        await direct.replicaof("127.0.0.1", 1)
        proxy.upstream = urlparse(next_url).path
        with pytest.raises(LogUnavailable, match="ReadOnlyError"):
            await log.acquire("resp_2", TTL_S)
        assert (await acquired(log, "resp_2")).epoch == 1


async def test_a_server_that_loads_its_data_is_waited_for(tmp_path: Path) -> None:
    # It looks up from loading at each 1,024 keys only, and a new connection asks it three times.
    valkey = ValkeyProcess(tmp_path / "valkey", **{"key-load-delay": "100"})  # Microseconds.
    await asyncio.to_thread(valkey.start)
    try:
        async with connect(valkey.url) as redis:
            log = RedisEventLog(redis, retention_s=RETENTION_S, patience_s=20)
            lease = await acquired(log)
            await log.append([Write(lease=lease, expected=0, entries=(b"a",))], TTL_S)
            async with redis.pipeline(transaction=False) as ballast:
                for number in range(20_000):
                    ballast.set(f"ballast {number}", b"")
                await ballast.execute()
            valkey.kill()
            starting = asyncio.create_task(asyncio.to_thread(valkey.start))
            while not (loading := await is_loading(redis)) and not starting.done():  # noqa: ASYNC110
                await asyncio.sleep(0)
            assert loading
            more = [Write(lease=lease, expected=1, entries=(b"b",))]
            assert await log.append(more, TTL_S) == [None]
            assert await log.read("resp_1") == [b"a", b"b"]
            await starting
    finally:
        valkey.end()


async def is_loading(redis: Redis) -> bool:
    try:
        await redis.ping()
    except BusyLoadingError:
        return True
    except RedisConnectionError:
        pass
    return False
