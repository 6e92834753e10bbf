"""python -m tests.chaos.gap [--kills 50]: how long readers wait when a server is killed.

Every kill interrupts answers that are being read, and comes only after all that the last one
interrupted was read to its end: no wait is a short one because a strike hit nobody. A wait is from
the last event before the kill to the first one after it, read wherever the reader came back to.
Reported are the waits for answers of the killed server only, and where the time went.
"""

import argparse
import asyncio
import json
import math
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from conversation.redis_connection import key
from tests.chaos.reader import Question, Reader, Reading
from tests.chaos.world import Node, World

READERS, TOKENS, HEARD = 16, 64, 6
"""Answers at a time, their length, and how many events of each are read before the kill."""
ENDLESS = "100000"
"""Mean tokens of an answer that is not cut off: each says `TOKENS`."""
LOOK_S, POLL_S = 0.005, 0.02
LONGEST_S = 30.0


@dataclass(frozen=True)
class Wait:
    """One reader's, in seconds, and its parts, one after another."""

    whole_s: float
    until_lapse_s: float
    """Until the killed server's lease had run out."""
    until_adoption_s: float
    """Until another server had taken the answer over."""
    until_read_s: float
    """Until the next event was read."""


class Kills:
    """Kills the servers of a world in turn, under readers."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._rng = random.Random(seed)
        self._redis = Redis.from_url(world.store.valkey.url)
        self.readings: list[Reading] = []

    async def close(self) -> None:
        await self._redis.aclose()

    async def kill(self, node: Node) -> list[Wait]:
        """Kill it while it answers, start it again, and read everything to its end."""
        readers = [Reader(self._world, random.Random(self._rng.random())) for _ in range(READERS)]
        readings = [
            Reading(Question(f"{self._rng.random()}?", TOKENS), "socket" if n % 2 else "sse")
            for n in range(READERS)
        ]
        self.readings += readings
        async with asyncio.TaskGroup() as tasks:
            for reader, reading in zip(readers, readings, strict=True):
                tasks.create_task(reader.read(reading))
            await _until_heard(readings)
            hit = [reading for reading in readings if reading.asked == node.address]
            epochs = await self._epochs(hit)
            await asyncio.to_thread(node.server.kill)
            killed = time.monotonic()
            tasks.create_task(node.restart())
            lapses = await self._lapses(hit)
            adopted = await self._adoptions(hit, epochs)
        for reader in readers:
            await reader.close()
        return [
            wait
            for reading, lapse, taken in zip(hit, lapses, adopted, strict=True)
            if (wait := _wait(reading, killed, lapse, taken))
        ]

    async def _epochs(self, readings: Sequence[Reading]) -> list[bytes | None]:
        names = [key("epoch", str(reading.response_id)) for reading in readings]
        epochs: Any = await self._redis.mget(names) if names else []
        return list(epochs)

    async def _lapses(self, readings: Sequence[Reading]) -> list[float]:
        """When each lease runs out, on our monotonic clock."""
        leases = key("leases", "").removesuffix(":")
        ahead = time.monotonic() - time.time()
        return [
            float(await self._redis.zscore(leases, str(reading.response_id)) or 0) / 1000 + ahead
            for reading in readings
        ]

    async def _adoptions(
        self, readings: Sequence[Reading], epochs: Sequence[bytes | None]
    ) -> list[float]:
        """When each answer got another owner."""
        adopted: dict[int, float] = {}
        async with asyncio.timeout(LONGEST_S):
            while len(adopted) < len(readings):
                for n, epoch in enumerate(await self._epochs(readings)):
                    if epoch != epochs[n]:
                        adopted.setdefault(n, time.monotonic())
                await asyncio.sleep(LOOK_S)
        return [adopted[n] for n in range(len(readings))]


async def _until_heard(readings: Sequence[Reading]) -> None:
    async with asyncio.timeout(LONGEST_S):
        while any(len(reading.numbers) < HEARD for reading in readings):  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)


def _wait(reading: Reading, killed: float, lapsed: float, adopted: float) -> Wait | None:
    """None for an answer that had ended, or was not read on."""
    for before, after in reading.waits:
        if before <= killed < after:
            return Wait(after - before, lapsed - before, adopted - lapsed, after - adopted)
    return None


def table(waits: Sequence[Wait]) -> str:
    """As Markdown, in seconds: median, 99th percentile (nearest rank), longest."""
    rows = [
        f"| {name.removesuffix('_s').replace('_', ' ')} | "
        + " | ".join(f"{value:.2f}" for value in quantiles(values))
        + " |"
        for name, values in _columns(waits).items()
    ]
    return "\n".join(("| s | p50 | p99 | longest |", "|---|---|---|---|", *rows))


def quantiles(values: Iterable[float]) -> tuple[float, float, float]:
    ranked = sorted(values)
    p50, p99 = (ranked[math.ceil(share * len(ranked)) - 1] for share in (0.5, 0.99))
    return p50, p99, ranked[-1]


def _columns(waits: Sequence[Wait]) -> Mapping[str, list[float]]:
    rows = [asdict(wait) for wait in waits]
    return {name: [row[name] for row in rows] for name in rows[0]}


def faults(readings: Iterable[Reading]) -> list[str]:
    """What was not read once each, in order, to its end."""
    return [
        f"{reading.response_id}: {reading.broken or reading.numbers}"
        for reading in readings
        if reading.broken or reading.numbers != list(range(len(reading.numbers)))
    ]


async def measure(folder: Path, kills: int, seed: int) -> tuple[list[Wait], list[str]]:
    """The waits, and what went wrong with what was read."""
    waits: list[Wait] = []
    async with World(folder, KOSMOSX_DETERMINISTIC_LENGTH=ENDLESS) as world:
        killer = Kills(world, seed)
        for number in range(kills):
            waits += await killer.kill(world.nodes[number % 2])
        await killer.close()
    return waits, faults(killer.readings)


def main() -> None:
    """Exit with 1 if a token was lost or came twice."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.gap", description="Kill servers.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write it there")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="gap-"))
    began = time.monotonic()
    waits, wrong = asyncio.run(measure(folder, given.kills, given.seed))
    seconds = time.monotonic() - began
    print(f"{given.kills} kills, {len(waits)} waits, {seconds:.0f} s.", table(waits), sep="\n\n")
    if given.json:
        figures = {name: quantiles(values) for name, values in _columns(waits).items()}
        given.json.write_text(
            json.dumps({"kills": given.kills, "waits": len(waits), "p50_p99_longest": figures})
        )
    if wrong:
        print(*wrong, f"All of it lies in {folder}.", sep="\n")
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
