"""The one place that deals with redis-py: connecting, checking the server, calling scripts.

Knows neither logs nor turns. Every failure of the store comes out as LogUnavailable.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ClusterError,
    ConnectionError,  # noqa: A004
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004
)

from conversation.ports import LogUnavailable

PREFIX = "kx:{0}:"
"""All keys carry this tag, so that every script stays within one slot of a cluster."""

OLDEST_VERSION = 7
"""Scripts with flags came with Redis 7 (redis.io: Lua scripts, EVAL flags)."""

POOL_SIZE = 64
PAUSE_S = 0.05
T = TypeVar("T")

_LUA = Path(__file__).parent / "lua"
_UNANSWERED = (ConnectionError, TimeoutError)
_REFUSED = (ClusterError, MasterDownError, OutOfMemoryError, ReadOnlyError)
_REFUSED_CODES = ("MISCONF", "NOREPLICAS", "BUSY", "UNKILLABLE")


class UnsuitableRedis(Exception):
    """The server may lose what it acknowledged."""


def key(kind: str, name: str) -> str:
    """The name of a key; `key` in lua/common.lua does the same."""
    return f"{PREFIX}{kind}:{name}"


def milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def connect(url: str, *, timeout_s: float = 3.0) -> Redis:
    """A client that never repeats a command by itself: redis-py would, and write twice.

    Beyond 64 connections callers wait for one, `timeout_s` at most, as for any reply.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=POOL_SIZE,
        timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
    )
    return Redis.from_pool(cast("Any", pool))


async def check_settings(redis: Redis) -> list[str]:
    """Refuse a server that may lose acknowledged writes; return what else is worth a warning.

    Raises:
        UnsuitableRedis: it may evict keys, keeps no append-only file, or is too old.
        LogUnavailable: it cannot be asked.
    """
    info = await reply(cast("Any", redis).info())
    version = str(info.get("redis_version", "0"))
    if int(version.split(".", maxsplit=1)[0]) < OLDEST_VERSION:
        raise UnsuitableRedis(f"Redis {version} is too old: {OLDEST_VERSION} or newer is needed")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise UnsuitableRedis(
            f"maxmemory-policy is {policy}: conversations may be evicted; set it to noeviction"
        )
    if not int(info.get("aof_enabled", 0)):
        raise UnsuitableRedis("appendonly is off: what was delivered may be lost; set it to yes")
    return [*await _fsync_findings(redis), *_replication_findings(info)]


async def _fsync_findings(redis: Redis) -> list[str]:
    try:
        found = await cast("Any", redis).config_get("appendfsync")
    except ResponseError:
        # Managed servers do not let themselves be asked.
        return ["appendfsync cannot be read: only `always` keeps every acknowledged write"]
    except _UNANSWERED as error:
        raise LogUnavailable(str(error)) from error
    policy = found.get("appendfsync")
    if policy == "always":
        return []
    return [f"appendfsync is {policy}: a crash may lose acknowledged writes; set it to always"]


def _replication_findings(info: dict[str, Any]) -> list[str]:
    if not int(info.get("connected_slaves", 0)):
        return []
    return ["replication is asynchronous: a failover may lose acknowledged writes"]


async def reply(command: Awaitable[T]) -> T:
    """Await one command.

    Raises:
        LogUnavailable: no reply came, or the server does not serve (full, read-only, down).
    """
    try:
        return await command
    except (*_UNANSWERED, *_REFUSED) as error:
        raise LogUnavailable(f"{type(error).__name__}: {error}") from error
    except RedisError as error:
        if str(error).startswith(_REFUSED_CODES):
            raise LogUnavailable(str(error)) from error
        raise


async def patiently(command: Callable[[], Awaitable[T]], patience_s: float) -> T:
    """Repeat a command that may be repeated for as long as no reply comes.

    Raises:
        LogUnavailable: `patience_s` have passed, or the server does not serve.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + patience_s
    while True:
        try:
            return await reply(command())
        except LogUnavailable as error:
            if not isinstance(error.__cause__, _UNANSWERED) or clock() >= deadline:
                raise
        await asyncio.sleep(PAUSE_S)


class Script:
    """A script of the lua folder. It runs whole or not at all."""

    def __init__(
        self, redis: Redis, name: str, *, flags: str = "", patience_s: float = 0.0
    ) -> None:
        """`patience_s`: repeat it for so long while unanswered; only for what may be repeated."""
        source = (_LUA / "common.lua").read_text() + (_LUA / f"{name}.lua").read_text()
        self._script = redis.register_script(f"#!lua flags={flags}\n{source}")
        self._patience_s = patience_s

    async def __call__(self, *args: bytes | str | int) -> Any:
        """Run it.

        Raises:
            LogUnavailable: no reply came, or the server does not serve.
        """
        return await patiently(
            lambda: cast("Awaitable[Any]", self._script(keys=[PREFIX], args=args)),
            self._patience_s,
        )
