"""A campaign: readers at work, one fault after another, and the judgement in the end."""

import asyncio
import contextlib
import itertools
import random
import sqlite3
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import httpx

from tests.chaos.faults import FAULTS, Fault
from tests.chaos.oracle import Oracle, Question, Verdict
from tests.chaos.reader import Event, Reader, Reading
from tests.chaos.world import LEASE_TTL_S, TOKENS_PER_S, World

READERS, QUESTIONS = 8, 8
OPEN_SESSIONS = "SELECT 1 FROM sessions WHERE state = 'open'"
SETTLE_S, POLL_S = 20.0, 0.2
SLOW_GAP_S = 10 / TOKENS_PER_S
"""Readers wait longer than this only because of a fault."""


@dataclass
class Report:
    """What was done, and what came of it."""

    seed: int
    faults: Counter[str]
    verdict: Verdict
    gaps_s: dict[str, list[float]] = field(default_factory=dict)
    """The longest wait of each answer that was live, by the fault that came before its end."""

    def table(self) -> str:
        """As Markdown."""
        verdict = self.verdict
        rows = [
            ("fault", "times", "readers waited, p50 / p99"),
            ("---",) * 3,
            *(
                (name, times, _waits(self.gaps_s.get(name, [])))
                for name, times in sorted(self.faults.items())
            ),
            (),
            (
                "answers",
                "tokens",
                "lost",
                "doubled",
                "reordered",
                "changed",
                "billed wrongly",
                "hung",
            ),
            ("---",) * 8,
            (
                *(verdict.answers, verdict.tokens, verdict.lost, verdict.duplicated),
                *(verdict.reordered, verdict.mismatches, verdict.bill_differences, verdict.broken),
            ),
        ]
        return "\n".join(f"| {' | '.join(map(str, row))} |" if row else "" for row in rows)


async def _fetch(http: httpx.AsyncClient, path: str) -> Event:
    """What the server says to a GET; it may be starting again."""
    async with asyncio.timeout(SETTLE_S):
        while True:
            with contextlib.suppress(httpx.TransportError):
                found: Event = (await http.get(path)).json()
                return found
            await asyncio.sleep(POLL_S)


def _waits(gaps_s: Sequence[float]) -> str:
    if not gaps_s:
        return "-"
    cuts = statistics.quantiles(gaps_s, n=100) if len(gaps_s) > 1 else gaps_s * 99
    return f"{cuts[49]:.2f} s / {cuts[98]:.2f} s"


class Campaign:
    """Everything that happens follows from the seed, as far as processes let it."""

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        faults: Mapping[str, Fault] = FAULTS,
        forgetful: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._seed = seed
        self._rng = random.Random(seed)
        self._faults = faults
        self._forgetful = forgetful
        self._world = World(folder, **(environment or {}))
        self._over = False
        self._readings: list[Reading] = []
        self._struck: list[tuple[float, str]] = []

    async def run(self, strikes: int) -> Report:
        """Strike so many times, and judge."""
        async with self._world as world:
            undisturbed = await self._undisturbed()
            async with asyncio.TaskGroup() as tasks:
                for number in range(READERS):
                    tasks.create_task(self._read_on(number))
                await self._strike(strikes)
                self._over = True
            logged = await self._settled()
            verdict = Oracle(undisturbed, world.database).judge(self._readings, logged)
        return Report(self._seed, Counter(name for _, name in self._struck), verdict, self._gaps())

    async def _undisturbed(self) -> dict[Question, Reading]:
        reader = Reader(self._world, random.Random(0))
        readings = [
            Reading(question, tokens, "sse")
            for question, tokens in itertools.islice(self._questions(), QUESTIONS)
        ]
        await asyncio.gather(*map(reader.read, readings))
        await reader.close()
        assert all(reading.broken is None for reading in readings)
        return {(reading.question, reading.max_tokens): reading for reading in readings}

    def _questions(self) -> Iterator[Question]:
        """A few questions over and over: each has an undisturbed answer to compare with."""
        rng = random.Random(self._seed)
        asked = [(f"Question number {n}?", rng.randint(24, 96)) for n in range(QUESTIONS)]
        return itertools.cycle(asked)

    async def _read_on(self, number: int) -> None:
        """One client after another, until the campaign is over."""
        rng = random.Random(f"{self._seed} {number}")
        reader = Reader(self._world, rng, forgetful=self._forgetful)
        asked = itertools.islice(self._questions(), number, None)
        while not self._over:
            question, tokens = next(asked)
            transport = "sse" if rng.random() < 0.5 else "socket"
            reading = Reading(question, tokens, transport)
            self._readings.append(reading)
            await reader.read(reading)
        await reader.close()

    async def _strike(self, strikes: int) -> None:
        names: list[str] = []
        loop = asyncio.get_running_loop()
        for _ in range(strikes):
            if not names:
                names = self._rng.sample(sorted(self._faults), len(self._faults))
            await asyncio.sleep(self._rng.uniform(0.1, 0.6))
            name = names.pop()
            self._struck.append((loop.time(), name))
            await self._faults[name](self._world, self._rng)
        # Who was lost last is found and taken over.
        await asyncio.sleep(2 * LEASE_TTL_S)

    async def _settled(self) -> dict[str, Event]:
        """Every response as the server has it, once no session of theirs is open."""
        base = f"http://{self._world.nodes[0].address}/v1"
        headers = {"Authorization": f"Bearer {self._world.key}"}
        logged = {}
        async with httpx.AsyncClient(base_url=base, headers=headers) as http:
            for reading in self._readings:
                if reading.broken is None:
                    response_id = str(reading.response_id)
                    logged[response_id] = await _fetch(http, f"/responses/{response_id}")
        with contextlib.closing(sqlite3.connect(self._world.database)) as books:
            async with asyncio.timeout(SETTLE_S):
                while books.execute(OPEN_SESSIONS).fetchone():  # noqa: ASYNC110 - other processes
                    await asyncio.sleep(POLL_S)
        return logged

    def _gaps(self) -> dict[str, list[float]]:
        """Waits longer than a token takes, by the last fault before they ended."""
        gaps: dict[str, list[float]] = {}
        for reading in self._readings:
            for before, after in pairwise(reading.arrivals):
                if after - before < SLOW_GAP_S:
                    continue
                causes = [name for at, name in self._struck if at < after]
                if causes:
                    gaps.setdefault(causes[-1], []).append(after - before)
        return gaps
