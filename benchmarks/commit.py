"""How long a group commit takes, every write on disk before it is acknowledged.

    python -m benchmarks.commit [--seconds 10] [--folder /dev/shm] [--json commit.json]

One entry for each of 64 and of 256 live responses per commit, on the embedded Valkey (AOF always).
The peer is a plain XADD per response in one pipeline: as durable, but neither fenced nor
repeatable. The floor is one RPUSH of the very same bytes: a round trip and the disk, which nobody
can be faster than. They take turns, so that all meet the same disk; compare ratios, not machines.
Processor times are of the client's thread and of Valkey's main thread, per commit.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from redis.asyncio import Redis

from conversation.entries import Delta, pack
from conversation.ports import Write
from conversation.redis_connection import connect
from conversation.redis_log import RedisEventLog
from kosmosx_stream.embedded_valkey import embedded_valkey

STREAMS = (64, 256)
GOALS_MS = {64: (1.5, 3.0), 256: (4.0, 6.0)}
"""Median and 99th percentile that a commit may take, by responses at a time."""
SECONDS = 10.0
BLOCK = 25
"""Commits of one contender before it is the next one's turn."""
WARM_UP = 20
LEASE_TTL_S = 60.0

Commit = Callable[[int], Awaitable[None]]


@dataclass
class Times:
    """One contender's, in milliseconds."""

    commits_ms: list[float] = field(default_factory=list)
    ours_ms: float = 0.0
    valkeys_ms: float = 0.0

    @property
    def figures(self) -> dict[str, float]:
        commits = len(self.commits_ms)
        return {
            "commits": commits,
            "commit_ms_p50": percentile(self.commits_ms, 50),
            "commit_ms_p99": percentile(self.commits_ms, 99),
            "client_cpu_ms": self.ours_ms / commits,
            "valkey_cpu_ms": self.valkeys_ms / commits,
        }


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


async def floor(redis: Redis, streams: int) -> Commit:
    """One round trip, one command, the same bytes, one fsync."""

    async def commit(step: int) -> None:
        entry = pack(Delta(token_ids=(1000 + step,), text=" token"))
        await redis.rpush(f"floor:{streams}", *[entry] * streams)

    return commit


async def measure(redis: Redis, commits: dict[str, Commit], seconds: float) -> dict[str, Times]:
    """The contenders in turn, a block each."""
    times = {name: Times() for name in commits}
    for commit in commits.values():
        for step in range(WARM_UP):
            await commit(step)
    ends, step = time.perf_counter() + seconds, WARM_UP
    while time.perf_counter() < ends:
        for name, commit in commits.items():
            await _block(redis, commit, step, times[name])
        step += BLOCK
    return times


async def _block(redis: Redis, commit: Commit, first: int, times: Times) -> None:
    ours, valkeys = time.thread_time(), await valkey_cpu_s(redis)
    for step in range(first, first + BLOCK):
        start = time.perf_counter()
        await commit(step)
        times.commits_ms.append(1000 * (time.perf_counter() - start))
    times.ours_ms += 1000 * (time.thread_time() - ours)
    times.valkeys_ms += 1000 * (await valkey_cpu_s(redis) - valkeys)


async def valkey_cpu_s(redis: Redis) -> float:
    used = await redis.info("cpu")
    return float(used["used_cpu_user_main_thread"] + used["used_cpu_sys_main_thread"])


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


def show(streams: int, figures: dict[str, dict[str, float]]) -> None:
    """One line per contender, the goals, and the ratio to the floor."""
    for name, each in figures.items():
        print(
            f"{streams:4} streams  {name:10}  p50 {each['commit_ms_p50']:6.2f} ms"
            f"  p99 {each['commit_ms_p99']:6.2f} ms  CPU: client {each['client_cpu_ms']:5.2f},"
            f" Valkey {each['valkey_cpu_ms']:5.2f} ms  ({each['commits']:.0f} commits)"
        )
    ours, least = figures["fenced log"], figures["same bytes"]
    p50, p99 = GOALS_MS[streams]
    verdict = "met" if ours["commit_ms_p50"] <= p50 and ours["commit_ms_p99"] <= p99 else "not met"
    print(
        f"{streams:4} streams  goals p50 {p50} and p99 {p99} ms: {verdict};"
        f" fenced log / same bytes = {ours['commit_ms_p50'] / least['commit_ms_p50']:.1f} (p50),"
        f" {ours['commit_ms_p99'] / least['commit_ms_p99']:.1f} (p99)"
    )


async def main(seconds: float = SECONDS, parent: Path | None = None) -> dict[str, dict[str, float]]:
    """Print and return the figures of each contender and size; `seconds` are each size's."""
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        async with embedded_valkey(Path(folder)) as url, connect(url) as redis:
            for streams in STREAMS:
                contenders = {
                    "fenced log": await fenced_log(redis, streams),
                    "plain XADD": await plain_streams(redis, streams),
                    "same bytes": await floor(redis, streams),
                }
                times = await measure(redis, contenders, seconds)
                figures = {name: each.figures for name, each in times.items()}
                show(streams, figures)
                found |= {f"{name} x {streams}": each for name, each in figures.items()}
    return found


def command() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.commit")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each size")
    parser.add_argument("--folder", type=Path, help="on the disk to measure; by default /tmp's")
    parser.add_argument("--json", type=Path, help="also write it there")
    given = parser.parse_args()
    found = asyncio.run(main(given.seconds, given.folder))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    command()
