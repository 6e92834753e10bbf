"""A campaign: readers at work, faults that overlap, and the judgement in the end."""

import asyncio
import contextlib
import itertools
import logging
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx

from tests.chaos.faults import FAULTS
from tests.chaos.ledgers import Log, read_ledgers, unsettled
from tests.chaos.oracle import Oracle
from tests.chaos.reader import PATIENCE_S, Event, Question, Reader, Reading
from tests.chaos.report import Report
from tests.chaos.strike import Fault, Strike
from tests.chaos.world import World

logger = logging.getLogger(__name__)

READERS, QUESTIONS = 8, 8
AT_ONCE, PAUSE_S = 3, (0.1, 0.6)
ROUNDS = 5
"""A point that was not reached in so many attempts is not a point any more."""
SETTLE_S, POLL_S = 120.0, 0.2
FETCHES, FETCH_TIMEOUT_S = 8, 60.0


class Campaign:
    """Everything that happens follows from the seed, as far as processes let it."""

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        faults: Mapping[str, Fault] = FAULTS,
        at_once: int = AT_ONCE,
        settle_s: float = SETTLE_S,
        patience_s: float = PATIENCE_S,
        forgetful: bool = False,
        sampled: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`at_once`: faults that may be under way together.

        `settle_s`: longest wait for the end of what readers have left.
        `patience_s`: how long a reader waits for the end of an answer.
        `forgetful`: the readers come back without their cursor.
        `sampled`: chance is in every answer, and not only in each third one.
        """
        self._seed = seed
        self._faults = faults
        self._at_once = at_once
        self._settle_s = settle_s
        self._patience_s = patience_s
        self._forgetful = forgetful
        self._sampled = sampled
        self._world = World(folder, **(environment or {}))
        self._over = False
        self._readings: list[Reading] = []
        self._strikes: list[Strike] = []

    async def run(self, strikes: int) -> Report:
        """Strike so many times, and judge."""
        began = time.monotonic()
        async with self._world as world:
            undisturbed = await self._undisturbed()
            async with asyncio.TaskGroup() as tasks:
                for number in range(READERS):
                    tasks.create_task(self._read_on(number))
                await self._strike(strikes)
                self._over = True
            await self._settle()
            shown = await self._shown()
            ledgers = read_ledgers(world.store.valkey.url, world.books.path)
        verdict = Oracle(undisturbed, ledgers).judge(self._readings, shown)
        for mishap in (mishap for node in world.nodes for mishap in node.mishaps):
            verdict.find("broken", "campaign", mishap)
        seconds = time.monotonic() - began
        return Report(self._seed, seconds, self._strikes, self._readings, verdict)

    # -- readers ---------------------------------------------------------------------------

    def _questions(self) -> Iterator[Question]:
        """A few questions over and over; most have one right answer."""
        rng = random.Random(self._seed)
        asked = [
            Question(
                f"Question number {n}?",
                rng.randint(24, 96),
                greedy=n % 3 > 0 and not self._sampled,
            )
            for n in range(QUESTIONS)
        ]
        return itertools.cycle(asked)

    async def _undisturbed(self) -> dict[Question, Log]:
        """The right answers, as they lie in the log."""
        asked = itertools.islice(self._questions(), QUESTIONS)
        readings = [Reading(question, "sse") for question in asked if question.greedy]
        reader = Reader(self._world, random.Random(0))
        await asyncio.gather(*map(reader.read, readings))
        await reader.close()
        assert all(r.ended and r.ended["status"] != "failed" for r in readings), readings
        self._readings += readings
        logs = read_ledgers(self._world.store.valkey.url, self._world.books.path).logs
        return {reading.question: logs[str(reading.response_id)] for reading in readings}

    async def _read_on(self, number: int) -> None:
        """One client after another, until the campaign is over."""
        rng = random.Random(f"{self._seed} reader {number}")
        reader = Reader(self._world, rng, patience_s=self._patience_s, forgetful=self._forgetful)
        asked = itertools.islice(self._questions(), number, None)
        while not self._over:
            reading = Reading(next(asked), rng.choice(["sse", "socket"]))
            self._readings.append(reading)
            await reader.read(reading)
        await reader.close()

    # -- faults ----------------------------------------------------------------------------

    async def _strike(self, wanted: int) -> None:
        """So many hits: what misses is tried again."""
        numbers = itertools.count()
        names = list(itertools.islice(self._names(), wanted))
        for _ in range(ROUNDS):
            names = [strike.name for strike in await self._round(names, numbers) if strike.missed]
            if not names:
                return
        raise AssertionError(f"never reached: {names}")

    async def _round(self, names: Sequence[str], numbers: Iterator[int]) -> list[Strike]:
        free = asyncio.Semaphore(self._at_once)
        strikes = []
        async with asyncio.TaskGroup() as tasks:
            for name, number in zip(names, numbers, strict=False):
                await free.acquire()
                strikes.append(Strike(name, number, random.Random(f"{self._seed} {number}")))
                self._strikes.append(strikes[-1])
                task = tasks.create_task(self._one(strikes[-1]))
                task.add_done_callback(lambda _: free.release())
                await asyncio.sleep(strikes[-1].rng.uniform(*PAUSE_S))
        return strikes

    async def _one(self, strike: Strike) -> None:
        logger.info("%d: %s", strike.number, strike.name)
        await self._faults[strike.name](self._world, strike)
        logger.info("%d: %s", strike.number, "missed" if strike.missed else "over")

    def _names(self) -> Iterator[str]:
        """All faults in one order after another."""
        rng = random.Random(f"{self._seed} order")
        while True:
            yield from rng.sample(sorted(self._faults), len(self._faults))

    # -- the end ---------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Wait until nothing is owed. What still is then, the oracle finds."""
        store, books = self._world.store.valkey.url, self._world.books.path
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settle_s):
                while await asyncio.to_thread(unsettled, store, books):  # noqa: ASYNC110 - others'
                    await asyncio.sleep(POLL_S)

    async def _shown(self) -> dict[str, Event]:
        """Every response as the server shows it now."""
        free = asyncio.Semaphore(FETCHES)
        base = f"http://{self._world.nodes[0].address}/v1"
        headers = {"Authorization": f"Bearer {self._world.key}"}
        async with httpx.AsyncClient(
            base_url=base, headers=headers, timeout=FETCH_TIMEOUT_S
        ) as http:

            async def fetch(response_id: str) -> Event:
                async with free:
                    try:
                        answer = await http.get(f"/responses/{response_id}")
                    except httpx.TransportError as error:
                        return {"error": repr(error)}  # As it is not shown, the oracle finds.
                shown: Event = answer.json()
                return shown

            ids = [str(reading.response_id) for reading in self._readings if reading.ended]
            found = await asyncio.gather(*map(fetch, ids))
        return dict(zip(ids, found, strict=True))
