"""How long a group commit takes, every write on disk before it is acknowledged.

    python -m benchmarks.commit

One entry for each of 64 and of 256 live responses per commit, on the embedded Valkey (AOF always).
The peer is a plain XADD per response in one pipeline: as durable, but neither fenced nor
repeatable. The floor is one SET: a round trip and the disk. They take turns, so that all meet the
same disk; compare ratios, not machines.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from redis.asyncio import Redis

from conversation.entries import Delta, pack
from conversation.ports import Write
from conversation.redis_log import RedisEventLog, connect
from kosmosx_stream.embedded_valkey import embedded_valkey

STREAMS = (64, 256)
SECONDS = 8.0
WARM_UP = 20
LEASE_TTL_S = 60.0

Commit = Callable[[int], Awaitable[None]]


async def fenced_log(redis: Redis, streams: int) -> Commit:
    """What the server does."""
    log = RedisEventLog(redis, retention_s=60)
    leases = [await log.acquire(f"resp_{streams}_{i}", LEASE_TTL_S) for i in range(streams)]

    async def commit(step: int) -> None:
        entry = pack(Delta(token_ids=(1000 + step,), text=" token"))
        verdicts = await log.append(
            [Write(lease=lease, expected=step, entries=(entry,)) for lease in leases if lease],
            LEASE_TTL_S,
        )
        assert verdicts == [None] * streams

    return commit


async def plain_streams(redis: Redis, streams: int) -> Commit:
    """The peer."""

    async def commit(step: int) -> None:
        entry = pack(Delta(token_ids=(1000 + step,), text=" token"))
        async with redis.pipeline(transaction=False) as pipeline:
            for i in range(streams):
                pipeline.xadd(f"plain:{streams}:{i}", {"e": entry})
            await pipeline.execute()

    return commit


async def floor(redis: Redis) -> Commit:
    """One round trip, one write, one fsync."""

    async def commit(step: int) -> None:
        await redis.set("floor", step)

    return commit


async def measure(commits: dict[str, Commit], seconds: float) -> dict[str, list[float]]:
    """Milliseconds of each commit, the contenders in turn."""
    times: dict[str, list[float]] = {name: [] for name in commits}
    ends = time.perf_counter() + seconds
    step = 0
    while time.perf_counter() < ends:
        for name, commit in commits.items():
            start = time.perf_counter()
            await commit(step)
            if step >= WARM_UP:
                times[name].append(1000 * (time.perf_counter() - start))
        step += 1
    return times


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


async def main(seconds: float = SECONDS) -> dict[str, dict[str, float]]:
    """Print one line per size and contender, and the ratio of their medians; return them."""
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with embedded_valkey(Path(folder)) as url, connect(url) as redis:
            for streams in STREAMS:
                times = await measure(
                    {
                        "fenced log": await fenced_log(redis, streams),
                        "plain XADD": await plain_streams(redis, streams),
                        "one SET": await floor(redis),
                    },
                    seconds,
                )
                for name, ms in times.items():
                    p50, p99 = percentile(ms, 50), percentile(ms, 99)
                    found[f"{name} x {streams}"] = {"commit_ms_p50": p50, "commit_ms_p99": p99}
                    print(
                        f"{streams:4} streams  {name:10}  p50 {p50:6.2f} ms  p99 {p99:6.2f} ms  "
                        f"({len(ms)} commits)"
                    )
                ours, peer, _ = (statistics.median(ms) for ms in times.values())
                print(f"{streams:4} streams  fenced log / plain XADD = {ours / peer:.2f}")
    return found


if __name__ == "__main__":
    asyncio.run(main())
