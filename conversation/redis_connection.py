"""The one place that deals with redis-py: connecting, awaiting replies, calling scripts.

Knows neither logs nor turns. Every failure of the store comes out as LogUnavailable.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import (
    ClusterError,
    ConnectionError,  # noqa: A004
    MasterDownError,
    MovedError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TimeoutError,  # noqa: A004
)

from conversation.ports import LogUnavailable

PREFIX = "kx:{0}:"
"""All keys carry this tag, so that every script stays within one slot of a cluster."""

POOL_SIZE = 64
PAUSE_S = 0.05
T = TypeVar("T")

_LUA = Path(__file__).parent / "lua"
_UNANSWERED = (ConnectionError, TimeoutError)
_REFUSED = (ClusterError, MasterDownError, MovedError, ReadOnlyError)
_REFUSED_CODES = ("MISCONF", "NOREPLICAS", "BUSY", "UNKILLABLE")
_DEMOTED = (MasterDownError, MovedError, ReadOnlyError)
"""The connection leads to what is not, or no more, the primary."""


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
        driver_info=DriverInfo(),  # Else each connection looks for redis-py's version on the disk.
    )
    return Redis.from_pool(cast("Any", pool))


async def reply(command: Awaitable[T]) -> T:
    """Await one command.

    Raises:
        LogUnavailable: no reply came, or the server does not serve (full, read-only, down).
    """
    try:
        return await command
    except OutOfMemoryError as error:
        raise LogUnavailable("the store is full: it has reached its maxmemory") from error
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
        self._redis = redis
        source = (_LUA / "common.lua").read_text() + (_LUA / f"{name}.lua").read_text()
        self._script = redis.register_script(f"#!lua flags={flags}\n{source}")
        self._patience_s = patience_s

    async def __call__(self, *args: bytes | str | int) -> Any:
        """Run it.

        Raises:
            LogUnavailable: no reply came, or the server does not serve.
        """
        try:
            return await patiently(
                lambda: cast("Awaitable[Any]", self._script(keys=[PREFIX], args=args)),
                self._patience_s,
            )
        except LogUnavailable as error:
            if isinstance(error.__cause__, _DEMOTED):
                # Where its name leads to another server by now, a new connection does too.
                await self._redis.connection_pool.disconnect(inuse_connections=False)
            raise
