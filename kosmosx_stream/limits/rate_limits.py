"""How much of each thing a key may take in a minute, on all servers together.

Every key has a bucket of requests, of tokens and of images, each of which fills up at an even pace.
A request takes itself, its input and its images before it begins. Its output is taken when it has
ended: it may leave the bucket owing, and then the next request waits until that is paid.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
from redis.asyncio import Redis

from conversation.redis_connection import key, reply
from kosmosx_stream.protocol.errors import RateLimited
from kosmosx_stream.protocol.rate_limits import RateLimit, retry_after_s
from metering.plans import Plan

PERIOD_S = 60
MICROSECONDS = 1_000_000


class Take(msgspec.Struct, frozen=True):
    """What is taken at once."""

    requests: int = 0
    tokens: int = 0
    images: int = 0


class RateLimits:
    """The buckets of all keys, in Redis."""

    def __init__(self, redis: Redis) -> None:
        source = Path(__file__).with_suffix(".lua").read_text()
        self._script = redis.register_script(source)

    async def take(self, plan: Plan, holder: str, asked: Take) -> tuple[RateLimit, ...]:
        """Take all of it, and tell what is left; nothing is there for a plan without limits.

        Raises:
            RateLimited: one bucket has too little; then nothing was taken.
            LogUnavailable: it cannot be told now.
        """
        limits, enough = await self._ask(plan, holder, asked, must=True)
        if not enough:
            raise _refused(limits)
        return limits

    async def owe(self, plan: Plan, holder: str, asked: Take) -> None:
        """Take what was used already, be it there or not.

        Raises:
            LogUnavailable: it cannot be written down now.
        """
        await self._ask(plan, holder, asked, must=False)

    async def _ask(
        self, plan: Plan, holder: str, asked: Take, *, must: bool
    ) -> tuple[tuple[RateLimit, ...], bool]:
        sizes = plan.rates()
        if not sizes:
            return (), True
        names = [key("rate", f"{holder}:{name}") for name in sizes]
        arguments: list[int] = [PERIOD_S * MICROSECONDS]
        for name, size in sizes.items():
            arguments += [size, getattr(asked, name), int(must)]
        # Not repeated when unanswered: it may have been taken.
        found: list[list[int]] = await reply(cast("Any", self._script(keys=names, args=arguments)))
        limits = tuple(
            RateLimit(
                name=name,
                limit=size,
                remaining=left,
                reset_seconds=full_us / MICROSECONDS,
                wait_seconds=0 if has else wait_us / MICROSECONDS,
            )
            for (name, size), (has, left, wait_us, full_us) in zip(
                sizes.items(), found, strict=True
            )
        )
        return limits, all(has for has, *_ in found)


def _refused(limits: Sequence[RateLimit]) -> RateLimited:
    short = [limit for limit in limits if limit.wait_seconds]
    names = " and ".join(f"{limit.limit} {limit.name}" for limit in short)
    return RateLimited(
        f"Rate limit reached: this key may take {names} a minute. "
        f"Try again in {math.ceil(retry_after_s(limits))} s.",
        code="rate_limit_exceeded",
        limits=tuple(limits),
    )
