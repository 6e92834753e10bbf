"""The server, with a fault built in: it kills itself at a named point, or breaks a rule.

    CHAOS_KILL_AT=committed:17 python -m tests.chaos.saboteur serve …

`KILL` at the 17th time that the point is reached. `CHAOS_BREAK` names a rule to break; these are
the negative controls, which the oracle has to notice.
"""

import itertools
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

from conversation import redis_log
from conversation.entries import Entry
from conversation.ports import Write
from conversation.redis_connection import key
from kosmosx_stream import admission, cli, hub, response_log

Points = dict[str, tuple[type, str, Callable[[Any, Callable[[], None]], Any]]]


def _before(original: Any, reach: Callable[[], None]) -> Any:
    @wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        reach()
        return original(*args, **kwargs)

    return wrapped


def _after(original: Any, reach: Callable[[], None]) -> Any:
    @wraps(original)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = await original(*args, **kwargs)
        reach()
        return result

    return wrapped


POINTS: Points = {
    "admitted": (admission.Admission, "admit", _after),
    "leased": (redis_log.RedisEventLog, "acquire", _after),
    "to-commit": (redis_log.RedisEventLog, "append", _before),
    "committed": (redis_log.RedisEventLog, "append", _after),
    "adopting": (hub.Hub, "adopt", _before),
    "to-settle": (response_log.ResponseLog, "record", _before),
    "settled": (response_log.ResponseLog, "record", _after),
    "released": (redis_log.RedisEventLog, "release", _after),
}


def kill_at(point: str, times: int) -> None:
    """Die by SIGKILL when the point is reached for the n-th time."""
    owner, name, wrap = POINTS[point]
    left = itertools.count(times - 1, -1)

    def reach() -> None:
        if not next(left):
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, wrap(getattr(owner, name), reach))


async def _append_unfenced(
    self: redis_log.RedisEventLog, writes: Sequence[Write], _ttl_s: float
) -> list[Exception | None]:
    """Whoever writes is believed, whatever epoch and length it goes by."""
    for write in writes:
        await self._redis.rpush(key("log", write.lease.response_id), *write.entries)  # type: ignore[misc]
    return [None] * len(writes)


async def _record_nothing(_self: response_log.ResponseLog, _entries: Iterable[Entry]) -> None:
    """Nothing comes on the bill."""


BREAKS: dict[str, tuple[type, str, Any]] = {
    "fencing": (redis_log.RedisEventLog, "append", _append_unfenced),
    "settlement": (response_log.ResponseLog, "record", _record_nothing),
}


def main() -> None:
    """Arm, and serve."""
    if armed := os.environ.get("CHAOS_KILL_AT"):
        point, times = armed.split(":")
        kill_at(point, int(times))
    if rule := os.environ.get("CHAOS_BREAK"):
        setattr(*BREAKS[rule])
    cli.app()


if __name__ == "__main__":
    main()
