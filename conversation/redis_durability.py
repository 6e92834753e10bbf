"""Whether a Redis takes writes, and keeps them: asked at start, and again while the server runs."""

from typing import Any, Literal, cast

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from conversation.ports import LogUnavailable
from conversation.redis_connection import key, milliseconds, reply

OLDEST_VERSION = 7
"""Scripts with flags came with Redis 7 (redis.io: Lua scripts, EVAL flags)."""

Durability = Literal["always", "everysec", "none"]
"""What is on disk when a write is acknowledged: all, all but the last second or so, or nothing."""

_LOSSES: dict[Durability, str] = {
    "always": "",
    "everysec": "a crash of Redis may lose the last second or more of what was delivered",
    "none": "a restart of Redis loses conversations, and answers that were delivered or under way",
}
_ORDER: tuple[Durability, ...] = ("none", "everysec", "always")

PROBE = bytes(4096)
"""No less than a block: the last block of a file has room for something smaller on a full disk."""
PROBE_TTL_S = 60.0


class UnsuitableRedis(Exception):
    """The server may lose what it acknowledged, or does not take writes.

    `accepted_by`: what may be asked for instead, to take it as it is.
    """

    def __init__(self, finding: str, *, accepted_by: Durability | None = None) -> None:
        super().__init__(finding)
        self.accepted_by = accepted_by


async def check_settings(redis: Redis, least: Durability = "always") -> list[str]:
    """Refuse a server that may lose more than it may; return what else is worth a warning.

    `least`: what has to be on disk when a write is acknowledged.

    Raises:
        UnsuitableRedis: it may evict keys, is less durable, is a replica, or is too old.
        LogUnavailable: it cannot be asked.
    """
    info = await reply(cast("Any", redis).info())
    _check_version(str(info.get("redis_version", "0")))
    if info.get("role", "master") != "master":
        raise UnsuitableRedis("role is replica, expected the primary: a replica takes no writes")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise UnsuitableRedis(
            f"maxmemory-policy is {policy}, expected noeviction: conversations may be evicted"
        )
    await _check_slot(redis)
    return [*await _durability_findings(redis, info, least), *_replication_findings(info)]


async def check_writable(redis: Redis) -> None:
    """Write something: INFO tells neither of all that refuses writes, nor of what ends at a write.

    Raises:
        LogUnavailable: it was not taken.
    """
    await reply(redis.set(key("probe", ""), PROBE, px=milliseconds(PROBE_TTL_S)))


def _check_version(version: str) -> None:
    if int(version.split(".", maxsplit=1)[0]) < OLDEST_VERSION:
        raise UnsuitableRedis(f"redis_version is {version}, expected {OLDEST_VERSION} or newer")


async def _check_slot(redis: Redis) -> None:
    """In a cluster, all keys are in one slot, which has to be this node's."""
    try:
        await reply(cast("Any", redis).exists(key("leases", "")))
    except LogUnavailable as error:
        if "MOVED" in str(error):
            raise UnsuitableRedis(
                f"cluster-enabled is yes ({error}), expected one primary: all keys are in one slot"
            ) from error
        raise


async def _durability_findings(redis: Redis, info: dict[str, Any], least: Durability) -> list[str]:
    if not int(info.get("aof_enabled", 0)):
        return _weighed("none", "appendonly is no, expected yes", least)
    try:
        found = await cast("Any", redis).config_get("appendfsync")
    except ResponseError:
        # Managed servers do not let themselves be asked.
        return ["appendfsync cannot be read: only `always` keeps every acknowledged write"]
    except (RedisConnectionError, RedisTimeoutError) as error:
        raise LogUnavailable(str(error)) from error
    policy = found.get("appendfsync")
    if policy == "always":
        return []
    actual: Durability = "everysec" if policy == "everysec" else "none"
    return _weighed(actual, f"appendfsync is {policy}, expected always", least)


def _weighed(actual: Durability, finding: str, least: Durability) -> list[str]:
    finding = f"{finding}: {_LOSSES[actual]}"
    if _ORDER.index(actual) < _ORDER.index(least):
        raise UnsuitableRedis(finding, accepted_by=actual)
    return [finding]


def _replication_findings(info: dict[str, Any]) -> list[str]:
    if not int(info.get("connected_slaves", 0)):
        return []
    return ["replication is asynchronous: a failover may lose acknowledged writes"]
