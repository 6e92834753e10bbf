"""How often somebody may try: registrations and failed sign-ins, counted for all servers."""

import msgspec
from redis.asyncio import Redis

from conversation.redis_connection import key, milliseconds, reply
from kosmosx_stream.protocol.errors import RateLimited
from metering import keys


class Allowance(msgspec.Struct, frozen=True):
    """So many attempts in so many seconds, beginning with the first; 0 is any number."""

    kind: str
    most: int
    window_s: float


class Attempts:
    """Counts attempts by who makes them. Names are hashed: Redis learns no email."""

    def __init__(self, redis: Redis, pepper: bytes) -> None:
        self._redis = redis
        self._pepper = pepper

    async def take(self, allowance: Allowance, who: str) -> None:
        """Count an attempt before it is made, so that many at once are not more than are allowed.

        Raises:
            RateLimited: there were too many.
            LogUnavailable: they cannot be counted now.
        """
        if not allowance.most:
            return
        name = self._name(allowance, who)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.incr(name)
            pipeline.pexpire(name, milliseconds(allowance.window_s), nx=True)
            pipeline.pttl(name)
            count, _, left_ms = await reply(pipeline.execute())
        if count > allowance.most:
            wait_s = max(1, -(-left_ms // 1000))
            refusal = RateLimited(
                f"Too many attempts; try again in {wait_s} s.", code="too_many_attempts"
            )
            refusal.retry_after_s = wait_s
            raise refusal

    async def give_back(self, allowance: Allowance, who: str) -> None:
        """Do not count the last attempt: it was right. Wrong ones before it still count.

        Raises:
            LogUnavailable: it cannot be told now.
        """
        if not allowance.most:
            return
        name = self._name(allowance, who)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.decr(name)
            pipeline.pexpire(name, milliseconds(allowance.window_s), nx=True)
            await reply(pipeline.execute())

    def _name(self, allowance: Allowance, who: str) -> str:
        return key("attempts", keys.mac(f"{allowance.kind} {who}", self._pepper).hex())
