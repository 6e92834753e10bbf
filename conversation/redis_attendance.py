"""Who reads what, among the instances over one Redis."""

from collections.abc import Sequence
from typing import Any, cast

from redis.asyncio import Redis

from conversation.redis_connection import key, milliseconds, reply


class RedisAttendance:
    """The Attendance port on Redis: a key per name, which says what instance noted it last."""

    def __init__(self, redis: Redis, instance: str) -> None:
        """`instance`: a name that no other instance has."""
        self._redis = redis
        self._instance = instance

    async def note(self, names: Sequence[str], ttl_s: float) -> None:
        """Say that somebody reads these here. See Attendance."""
        if not names or milliseconds(ttl_s) == 0:
            return
        async with self._redis.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.set(key("attended", name), self._instance, px=milliseconds(ttl_s))
            await reply(pipeline.execute())

    async def elsewhere(self, name: str) -> bool:
        """Whether another instance noted it last."""
        instance = await reply(cast("Any", self._redis).get(key("attended", name)))
        return instance is not None and instance.decode() != self._instance
