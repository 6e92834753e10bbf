"""A rush: visitors at two servers that are killed meanwhile, then everything closed and paid."""

import asyncio
import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.faults import FAULTS
from tests.chaos.oracle import Oracle, Verdict
from tests.chaos.strike import Strike
from tests.chaos.world import World
from tests.server_process import KOSMOSX
from tests.stripe_standin.app import Fault, StripeStandin
from tests.supabase.project import SupabaseProject
from tests.whole.sums import Books, Sum
from tests.whole.visitor import Visit, Visitor, plan

AT_ONCE = 12
"""Visitors; fewer than one key may have WebSockets at a server."""
SETTLE_S, POLL_S = 300.0, 0.2
"""A dispatcher that was killed leaves what it had claimed to the others after two minutes."""
STRIPE_FAULTS = (Fault.LOST_REPLY, Fault.LOST_REQUEST, Fault.BROKEN, Fault.BUSY)


@dataclass
class Outcome:
    """What is to be judged."""

    seed: int
    visits: list[Visit]
    strikes: list[Strike]
    books: Books
    sums: dict[str, Sum]
    verdict: Verdict
    seconds: float
    identifiers: list[str] = field(default_factory=list)
    """Of the events that Stripe took."""

    @property
    def receipts(self) -> dict[str, list[object]]:
        """All different ones that were ever shown, by session."""
        found: dict[str, list[object]] = {}
        for visit in self.visits:
            for session_id, shown in visit.receipts.items():
                kept = found.setdefault(session_id, [])
                for receipt in shown:
                    if receipt not in kept:
                        kept.append(receipt)
        return found

    def __str__(self) -> str:
        ends = Counter(
            f"{turn.fate}{'' if turn.over else ', not reached'}"
            for visit in self.visits
            for turn in visit.turns
        )
        return "\n".join(
            [
                f"seed {self.seed}, {self.seconds:.0f} s, {len(self.visits)} visits",
                f"{len(self.books.sessions)} sessions, {len(self.books.logs)} answers",
                f"planned ends: {dict(sorted(ends.items()))}",
                f"struck: {dict(Counter(s.name for s in self.strikes if s.began is not None))}",
                f"came back: {sum(len(r.failures) for v in self.visits for r in v.readings)} times",
                f"not read to the end: {self.verdict.unread} answers",
                *(f"{name:>8}: {total}" for name, total in self.sums.items()),
                *self.verdict.findings,
            ]
        )


class Rush:
    """Everything that happens follows from the seed, as far as processes let it."""

    def __init__(
        self,
        folder: Path,
        project: SupabaseProject,
        stripe: StripeStandin,
        stripe_url: str,
        *,
        seed: int,
        visits: int,
        strikes: Sequence[str],
        linked: bool,
        environment: Mapping[str, str],
    ) -> None:
        """`strikes`: names of faults, spread evenly over the visits.

        `linked`: Stripe knows who pays from the beginning, and not only in the end.
        """
        self._seed, self._strike_names, self._linked = seed, strikes, linked
        self._project, self._stripe = project, stripe
        self._environment = {
            "SUPABASE_URL": project.url,
            "SUPABASE_SERVICE_KEY": project.service_key,
            "KOSMOSX_KEY_PEPPER": "shared by both servers",
            "STRIPE_API_KEY": stripe.key,
            "KOSMOSX_STRIPE_URL": stripe_url,
            "KOSMOSX_STRIPE_DELAY_S": "0",
            "KOSMOSX_STRIPE_INTERVAL_S": "0.1",
            "KOSMOSX_SESSION_IDLE_S": "3600",
            "KOSMOSX_DISCONNECT_GRACE_S": "2",
            **environment,
        }
        self._world = World(folder, **self._environment)
        self._folder = folder
        self._visits = list(plan(seed, visits))
        self._ended = 0
        self._progress = asyncio.Condition()
        self._strikes: list[Strike] = []

    async def run(self) -> Outcome:
        began = time.monotonic()
        async with self._world:
            await self._command("stripe", "setup")
            if self._linked:
                await self._link()
            await self._rush()
            await self._close_all()
            if not self._linked:
                await self._link()
            books = await self._delivered()
            visitor = Visitor(self._world, random.Random(self._seed))
            readings = [reading for visit in self._visits for reading in visit.readings]
            ids = [str(reading.response_id) for reading in readings if reading.ended]
            shown = {response_id: await visitor.shown(response_id) for response_id in ids}
            await visitor.close()
        return Outcome(
            self._seed,
            self._visits,
            self._strikes,
            books,
            books.sums(self._stripe),
            Oracle({}, books.ledgers()).judge(readings, shown),
            time.monotonic() - began,
            [event.identifier for event in self._stripe.meters.events],
        )

    async def _rush(self) -> None:
        rng = random.Random(f"{self._seed} Stripe")
        if self._linked:
            self._stripe.faults.extend(
                rng.choice(STRIPE_FAULTS) if rng.random() < 0.1 else None for _ in self._visits
            )
        waiting = iter(self._visits)
        async with asyncio.TaskGroup() as tasks:
            for number in range(AT_ONCE):
                tasks.create_task(self._go(number, waiting))
            for number, name in enumerate(self._strike_names):
                tasks.create_task(self._strike(number, name))

    async def _go(self, number: int, waiting: Iterator[Visit]) -> None:
        visitor = Visitor(self._world, random.Random(f"{self._seed} visitor {number}"))
        for visit in waiting:
            await visitor.visit(visit)
            async with self._progress:
                self._ended += 1
                self._progress.notify_all()
        await visitor.close()

    async def _strike(self, number: int, name: str) -> None:
        """When its share of the visits has ended."""
        due = len(self._visits) * (number + 1) // (len(self._strike_names) + 1)
        async with self._progress:
            await self._progress.wait_for(lambda: self._ended >= due)
        strike = Strike(name, number, random.Random(f"{self._seed} {number}"))
        self._strikes.append(strike)
        await FAULTS[name](self._world, strike)

    async def _close_all(self) -> None:
        """By whatever server; those that nobody remembers as well, and each twice."""
        visit = self._visits[0]
        visitor = Visitor(self._world, random.Random(f"{self._seed} end"))
        for row in (await self._read()).sessions * 2:
            await visitor.close_session(visit, row["id"])
        await visitor.close()

    async def _delivered(self) -> Books:
        """When nothing is owed any more; or what is after a long wait."""
        deadline = time.monotonic() + SETTLE_S
        while True:
            books = await self._read()
            whole = not (books.unsettled or books.undelivered)
            if whole or time.monotonic() > deadline:
                return books
            await asyncio.sleep(POLL_S)

    async def _read(self) -> Books:
        return await asyncio.to_thread(Books.read, self._project, self._world.store.valkey.url)

    async def _link(self) -> None:
        (key,) = self._project.rows("api_keys", id=f"eq.{self._world.key.split('_')[2]}")
        await self._command("stripe", "link", key["account_id"], "--subscribe")

    async def _command(self, *words: str) -> None:
        """`kosmosx …`, as an operator says it."""
        command = [str(KOSMOSX), *words, "--data-dir", str(self._folder / "one")]
        process = await asyncio.create_subprocess_exec(
            *command,
            env=os.environ | self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode == 0, said
