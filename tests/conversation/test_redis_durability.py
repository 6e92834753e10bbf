"""Servers that may lose what they acknowledge are refused by name, or taken as they are."""

import pytest
from redis.asyncio import Redis

from conversation.redis_durability import Durability, UnsuitableRedis, check_settings


async def test_the_embedded_server_is_as_it_should_be(redis: Redis) -> None:
    assert await check_settings(redis) == []


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("maxmemory-policy", "allkeys-lru", "maxmemory-policy is allkeys-lru, expected noeviction"),
        ("maxmemory-policy", "volatile-ttl", "maxmemory-policy is volatile-ttl"),
        ("appendonly", "no", "appendonly is no, expected yes"),
        ("appendfsync", "everysec", "appendfsync is everysec, expected always"),
        ("appendfsync", "no", "appendfsync is no, expected always"),
    ],
)
async def test_a_server_that_may_lose_writes_is_refused(
    own_redis: Redis, setting: str, value: str, message: str
) -> None:
    await own_redis.config_set(setting, value)
    with pytest.raises(UnsuitableRedis, match=message):
        await check_settings(own_redis)


@pytest.mark.parametrize(
    ("setting", "value", "least", "loss"),
    [
        ("appendfsync", "everysec", "everysec", "the last second or more"),
        ("appendfsync", "no", "none", "a restart of Redis loses"),
        ("appendonly", "no", "none", "a restart of Redis loses"),
    ],
)
async def test_what_is_accepted_is_told_with_what_it_may_lose(
    own_redis: Redis, setting: str, value: str, least: Durability, loss: str
) -> None:
    await own_redis.config_set(setting, value)
    (finding,) = await check_settings(own_redis, least)
    assert loss in finding
    with pytest.raises(UnsuitableRedis) as refused:
        await check_settings(own_redis)
    assert refused.value.accepted_by == least


async def test_nothing_makes_up_for_eviction(own_redis: Redis) -> None:
    await own_redis.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(UnsuitableRedis) as refused:
        await check_settings(own_redis, "none")
    assert refused.value.accepted_by is None


async def test_a_replica_is_refused(own_redis: Redis) -> None:
    await own_redis.replicaof("127.0.0.1", 1)
    with pytest.raises(UnsuitableRedis, match="role is replica, expected the primary"):
        await check_settings(own_redis)


async def test_a_server_that_hides_its_settings_is_warned_of(own_redis: Redis) -> None:
    await own_redis.acl_setuser("default", enabled=True, commands=["-config"])
    (finding,) = await check_settings(own_redis)
    assert finding.startswith("appendfsync cannot be read")
