"""Sees that the store keeps what it acknowledges, at the start and later; and takes writes."""

import asyncio
import logging
import time

from redis.asyncio import Redis

from conversation.ports import LogUnavailable
from conversation.redis_connection import connect
from conversation.redis_durability import (
    Durability,
    UnsuitableRedis,
    check_settings,
    check_writable,
)
from kosmosx_stream.protocol.errors import Unavailable
from kosmosx_stream.settings import Settings

logger = logging.getLogger(__name__)

INTERVAL_S = 10.0
FAULTY_INTERVAL_S = 1.0
PATIENCE_S = 10.0
"""How long a server that does not answer, or loads its data, is waited for at the start."""
POLL_S = 0.2


class UnusableRedis(Exception):
    """The Redis that was named cannot be used."""


async def check_named(settings: Settings) -> None:
    """See whether the Redis that was named can be used.

    Raises:
        UnusableRedis: it cannot, and why.
    """
    if settings.redis_url is None:
        return
    try:
        async with connect(settings.redis_url.get_secret_value()) as redis:
            await _check_patiently(redis, settings.redis_durability)
    except ValueError as error:
        raise UnusableRedis(f"REDIS_URL: {error}") from error
    except LogUnavailable as error:
        raise UnusableRedis(f"REDIS_URL: cannot be used: {error}") from error
    except UnsuitableRedis as error:
        hint = ""
        if error.accepted_by is not None:
            hint = f"; KOSMOSX_REDIS_DURABILITY={error.accepted_by} accepts that"
        raise UnusableRedis(f"REDIS_URL: {error}{hint}") from error


async def _check_patiently(redis: Redis, least: Durability) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            await check_settings(redis, least)
        except LogUnavailable:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(POLL_S)
        else:
            return


class RedisWatch:
    """Whether the store takes writes, and keeps them; where it may lose them, no turn begins."""

    def __init__(self, redis: Redis, least: Durability) -> None:
        self._redis = redis
        self._least = least
        self._fault: str | None = None
        self.writable = True
        """Whether the store took a write when it was last tried."""

    @property
    def durable(self) -> bool:
        """Whether its settings keep what it acknowledges, as far as is known."""
        return self._fault is None

    @property
    def well(self) -> bool:
        """Whether a turn could be written, and would be kept."""
        return self.writable and self.durable

    def check(self) -> None:
        """Let a new turn begin.

        Raises:
            Unavailable: what it wrote might be lost.
        """
        if self._fault is not None:
            raise Unavailable(
                "The store's settings were changed so that it may lose what was said. Try again.",
                code="log_unavailable",
            )

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(INTERVAL_S if self.well else FAULTY_INTERVAL_S)

    async def look(self) -> None:
        """Look once. Settings that cannot be asked for are as they were."""
        try:
            await self._look_at_settings()
            await check_writable(self._redis)
        except LogUnavailable as error:
            if self.writable:
                logger.error("redis: no write is taken: %s", error)  # noqa: TRY400
            self.writable = False
        else:
            if not self.writable:
                logger.warning("redis: writes are taken again")
            self.writable = True

    async def _look_at_settings(self) -> None:
        try:
            await check_settings(self._redis, self._least)
        except UnsuitableRedis as error:
            if self._fault is None:
                logger.error("redis: %s; no turn begins", error)  # noqa: TRY400
            self._fault = str(error)
        else:
            if self._fault is not None:
                logger.warning("redis: the settings are as expected again")
            self._fault = None
