"""A real Valkey for the Redis adapters, and both adapters of each port behind one fixture."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.asyncio import Redis

from conversation.memory_history import MemoryHistory
from conversation.memory_log import MemoryEventLog
from conversation.ports import EventLog, History
from conversation.redis_connection import connect
from conversation.redis_history import RedisHistory
from conversation.redis_log import RedisEventLog
from kosmosx_stream.embedded_valkey import embedded_valkey

RETENTION_S = 1000.0


@dataclass(frozen=True)
class Stores:
    log: EventLog
    history: History


@pytest.fixture(scope="session")
async def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Redis]:
    """One server for all tests that leave it as it is."""
    async with embedded_valkey(tmp_path_factory.mktemp("valkey")) as url:
        redis = connect(url)
        yield redis
        await redis.aclose()


@pytest.fixture
async def redis(shared_redis: Redis) -> Redis:
    await shared_redis.flushdb()
    return shared_redis


@pytest.fixture
async def own_url(tmp_path: Path) -> AsyncIterator[str]:
    """A server for one test, which may kill it or change its settings."""
    async with embedded_valkey(tmp_path) as url:
        yield url


@pytest.fixture
async def own_redis(own_url: str) -> AsyncIterator[Redis]:
    redis = connect(own_url)
    yield redis
    await redis.aclose()


@pytest.fixture(params=["memory", "redis"])
def stores(request: pytest.FixtureRequest) -> Stores:
    """Conformance: what uses this runs on every adapter."""
    if request.param == "memory":
        history = MemoryHistory()
        return Stores(MemoryEventLog(history), history)
    return redis_stores(request.getfixturevalue("redis"))


def redis_stores(redis: Redis) -> Stores:
    return Stores(
        RedisEventLog(redis, retention_s=RETENTION_S),
        RedisHistory(redis, retention_s=RETENTION_S),
    )


@pytest.fixture
def log(stores: Stores) -> EventLog:
    return stores.log


@pytest.fixture
def history(stores: Stores) -> History:
    return stores.history
