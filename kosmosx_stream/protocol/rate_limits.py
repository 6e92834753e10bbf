"""Rate limits on the wire: HTTP headers, and an event on WebSockets.

draft-ietf-httpapi-ratelimit-headers: `RateLimit-Policy` and `RateLimit` as the newest draft has
them, and the three fields of draft 07 that most clients read, for the nearest limit.
"""

import math
from collections.abc import Sequence

import msgspec

from metering.plans import Rate

WINDOW_S = 60


class RateLimit(msgspec.Struct, frozen=True, kw_only=True):
    """A bucket of a key: it is full again after `reset_seconds`, if nothing more is taken.

    `wait_seconds`: after so long it has what was asked of it; 0 if it has.
    """

    name: Rate
    limit: int
    remaining: int
    reset_seconds: float
    wait_seconds: float = 0


class RateLimitsUpdated(
    msgspec.Struct, frozen=True, kw_only=True, tag="kosmosx:rate_limits.updated"
):
    """What a key may still take, after a request took its share or was refused."""

    rate_limits: tuple[RateLimit, ...]


def retry_after_s(limits: Sequence[RateLimit]) -> float:
    """When all of it can be had."""
    return max((limit.wait_seconds for limit in limits), default=0)


def limit_headers(limits: Sequence[RateLimit]) -> dict[str, str]:
    """The headers that tell of them; none if there are no limits."""
    if not limits:
        return {}
    nearest = min(limits, key=lambda limit: (limit.remaining / limit.limit, limit.name))
    headers = {
        "RateLimit-Policy": ", ".join(f'"{x.name}";q={x.limit};w={WINDOW_S}' for x in limits),
        "RateLimit": ", ".join(
            f'"{x.name}";r={x.remaining};t={math.ceil(x.reset_seconds)}' for x in limits
        ),
        "RateLimit-Limit": str(nearest.limit),
        "RateLimit-Remaining": str(nearest.remaining),
        "RateLimit-Reset": str(math.ceil(nearest.reset_seconds)),
    }
    if wait_s := retry_after_s(limits):
        headers["Retry-After"] = str(math.ceil(wait_s))
    return headers


def encode_updated(limits: Sequence[RateLimit]) -> bytes:
    """The `kosmosx:rate_limits.updated` event."""
    return msgspec.json.encode(RateLimitsUpdated(rate_limits=tuple(limits)))
