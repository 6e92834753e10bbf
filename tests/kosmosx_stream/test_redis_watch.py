"""The store's settings: refused by name at the start, and noticed later; so are refused writes."""

import resource
from pathlib import Path
from typing import Any

import pytest

from conversation.redis_connection import connect, patiently
from kosmosx_stream import redis_watch
from kosmosx_stream.embedded_valkey import embedded_valkey
from kosmosx_stream.protocol.errors import Unavailable
from kosmosx_stream.redis_watch import RedisWatch, UnusableRedis, check_named
from kosmosx_stream.settings import Settings


def named(url: str, **more: Any) -> Settings:
    return Settings(REDIS_URL=url, **more)


async def test_the_named_server_has_to_keep_what_it_acknowledges(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path) as url, connect(url) as redis:
        await check_named(named(url))
        await redis.config_set("appendfsync", "everysec")
        with pytest.raises(UnusableRedis) as refused:
            await check_named(named(url))
        assert str(refused.value).startswith("REDIS_URL: appendfsync is everysec, expected always")
        assert str(refused.value).endswith("KOSMOSX_REDIS_DURABILITY=everysec accepts that")
        await check_named(named(url, redis_durability="everysec"))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("unix:///nothing/here.sock", "REDIS_URL: cannot be used"),
        ("http://127.0.0.1", "REDIS_URL: Redis URL must specify one of"),
    ],
)
async def test_a_url_that_leads_nowhere(
    monkeypatch: pytest.MonkeyPatch, url: str, message: str
) -> None:
    monkeypatch.setattr(redis_watch, "PATIENCE_S", 0)
    with pytest.raises(UnusableRedis, match=message):
        await check_named(named(url))


async def test_no_turn_begins_while_the_settings_are_wrong(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path) as url, connect(url) as redis:
        watch = RedisWatch(redis, "always")
        await watch.look()
        watch.check()
        await redis.config_set("maxmemory-policy", "allkeys-lru")
        await watch.look()
        assert not watch.durable
        assert not watch.well
        with pytest.raises(Unavailable) as refused:
            watch.check()
        assert refused.value.code == "log_unavailable"
        await redis.config_set("maxmemory-policy", "noeviction")
        await watch.look()
        watch.check()
    await watch.look()  # Gone: what is known of its settings stays.
    assert watch.durable
    assert not watch.well


@pytest.mark.parametrize("refusing", ["maxmemory", "min-replicas-to-write"])
async def test_a_store_that_refuses_writes_is_not_well(tmp_path: Path, refusing: str) -> None:
    async with embedded_valkey(tmp_path) as url, connect(url) as redis:
        watch = RedisWatch(redis, "always")
        await redis.config_set(refusing, 1)
        await watch.look()
        assert not watch.well
        watch.check()  # A turn may try, and is told by its own write.
        await redis.config_set(refusing, 0)
        await watch.look()
        assert watch.well


async def test_a_full_disk_is_noticed_though_the_last_block_has_room(tmp_path: Path) -> None:
    """Valkey ends at each write without room, is started again, and takes what is small enough."""
    block = 4096
    async with embedded_valkey(tmp_path) as url, connect(url) as redis:
        watch = RedisWatch(redis, "always")
        await redis.set("said", bytes(16 * block))
        info = await redis.info()
        end = (info["aof_current_size"] // block + 1) * block
        resource.prlimit(info["process_id"], resource.RLIMIT_FSIZE, (end, end))
        await redis.set("said", "little")
        await watch.look()
        assert not watch.well
        await patiently(redis.ping, 20)  # Another process, which has no limit.
        await watch.look()
        assert watch.well
