"""Keeps so many workers running: starts them, looks after them, and ends them together."""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from kosmosx_stream.cancelling import end
from kosmosx_stream.workers.worker import Worker

logger = logging.getLogger(__name__)

TICK_S = 0.5
PATIENCE_TICKS = 20
"""A worker that did not report for so many ticks hangs, and is killed."""
START_TICKS = 240
"""It has so many until its first report."""
BACKOFF_S = (0.1, 10.0)
"""The pauses before a worker is started again double from the first to the second."""
HEALTHY_S = 60.0
"""A worker that ran for so long was well: the pauses begin anew."""
CLOSING_S = 10.0
"""What workers need to settle and to close, after the drain; then they are killed."""


class Crew:
    """The workers of one host."""

    def __init__(
        self,
        size: int,
        start: Callable[[int], Awaitable[Worker]],
        *,
        on_ready: Callable[[], None],
        on_failure: Callable[[str], None],
    ) -> None:
        """`start` is told the place that the worker takes, from 0 on.

        `on_ready`: told once that turns can begin at all; or else `on_failure`, why not.
        """
        self._size = size
        self._start = start
        self._on_ready = on_ready
        self._on_failure = on_failure
        self._stopping = False
        self._proved = False
        self.workers: set[Worker] = set()

    @contextlib.asynccontextmanager
    async def running(self, *, drain_s: float) -> AsyncIterator[None]:
        """Keep them running; on leaving they have `drain_s` to finish what is live."""
        keepers = [asyncio.create_task(self._keep(place)) for place in range(self._size)]
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            self._stopping = True
            self.send(signal.SIGTERM)
            _, late = await asyncio.wait(keepers, timeout=drain_s + CLOSING_S)
            if late:
                logger.error("%d workers did not end in time and are killed", len(self.workers))
                self.send(signal.SIGKILL)
            await end(watch, *keepers)

    @property
    def assembling(self) -> bool:
        """Whether some of them are ready for the first time, and some not yet."""
        return not self._proved and any(each.ready for each in self.workers)

    def heard(self) -> None:
        """One of them has reported."""
        if not self._proved and sum(each.ready for each in self.workers) == self._size:
            self._proved = True
            self._on_ready()

    def send(self, how: signal.Signals) -> None:
        """Send all of them a signal."""
        for worker in self.workers:
            worker.send(how)

    async def _keep(self, place: int) -> None:
        """One place in the crew, until it is to end."""
        pause_s, longest_s = BACKOFF_S
        while not self._stopping:
            started_at = time.monotonic()
            try:
                status = await self._one_life(place)
            except OSError as error:
                status = str(error)
            if not self._proved and not self._stopping:
                self._on_failure(f"a worker did not start: {status}")
                return
            if not self._stopping:
                logger.error("a worker ended (%s): starting another", status)
            if time.monotonic() - started_at >= HEALTHY_S:
                pause_s = BACKOFF_S[0]
            if not self._stopping:
                await asyncio.sleep(pause_s)
            pause_s = min(longest_s, 2 * pause_s)

    async def _one_life(self, place: int) -> str:
        """Start a worker, and wait for its end; returns how it ended."""
        worker = await self._start(place)
        self.workers.add(worker)
        if self._stopping:  # It was not there yet when the others were told.
            worker.send(signal.SIGTERM)
        status = await worker.wait()
        self.workers.discard(worker)
        return f"process {worker.pid} with status {status}"

    async def _watch(self) -> None:
        """Kill those that hang. Patience is counted in ticks: the whole machine may have slept."""
        while True:
            await asyncio.sleep(TICK_S)
            for worker in self.workers:
                worker.silent_ticks += 1
                if worker.silent_ticks >= (PATIENCE_TICKS if worker.heard else START_TICKS):
                    logger.error("worker %d hangs and is killed", worker.pid)
                    worker.send(signal.SIGKILL)
