"""Group commit: everything that the live responses publish meanwhile goes in one round trip.

Writes are taken in the order of `submit`, so one response's entries stay in order. It knows
neither what an entry means nor who reads it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from conversation.ports import Conflict, EventLog, Lease, LogUnavailable, Write
from kosmosx_stream.telemetry.meters import Meters

logger = logging.getLogger(__name__)

Verdict = Callable[[Exception | None], None]
"""Takes what became of a write: None, Fenced, Conflict or LogUnavailable."""


class Committer:
    """Batches writes for one event log. `run` must be running for anything to be committed."""

    def __init__(self, log: EventLog, lease_ttl_s: float, meters: Meters) -> None:
        self._log = log
        self._meters = meters
        self._lease_ttl_s = lease_ttl_s
        self._pending: list[tuple[Write, Verdict]] = []
        self._wake = asyncio.Event()
        self._committing = asyncio.Lock()

    @property
    def pending(self) -> int:
        """Writes that wait for the next commit."""
        return len(self._pending)

    def submit(self, write: Write, verdict: Verdict) -> None:
        """Queue a write; `verdict` is told what became of it, and may submit the next one."""
        self._pending.append((write, verdict))
        self._wake.set()

    async def run(self) -> None:
        """Commit until cancelled; what was submitted before the cancellation is still committed."""
        try:
            while True:
                await self._wake.wait()
                await self._commit_pending()
        finally:
            await self._commit_pending()

    async def renew(self, leases: Sequence[Lease]) -> list[bool]:
        """Prolong the leases of responses that have had nothing to write for a while."""
        return await self._log.renew(leases, self._lease_ttl_s)

    async def hand_over(self, leases: Sequence[Lease]) -> None:
        """Let the leases lapse at once, after all that was submitted under them is committed.

        Raises:
            LogUnavailable: they lapse when their time is up.
        """
        await self._commit_pending()  # It would renew them.
        await self._log.renew(leases, 0)

    async def _commit_pending(self) -> None:
        """Commit until nothing is left, what the verdicts lead to included."""
        async with self._committing:
            while self._pending:
                await self._commit()

    async def _commit(self) -> None:
        self._wake.clear()
        batch, self._pending = self._pending, []
        began = time.perf_counter()
        try:
            outcomes = await self._log.append([write for write, _ in batch], self._lease_ttl_s)
        except LogUnavailable as error:
            outcomes = [error] * len(batch)
        except Exception:
            # One bad batch must not end the commits of everybody else.
            logger.exception("a commit failed")
            outcomes = [LogUnavailable("the commit failed")] * len(batch)
        self._meters.commit_duration.observe(time.perf_counter() - began)
        self._meters.commit_writes.observe(len(batch))
        for (write, verdict), outcome in zip(batch, outcomes, strict=True):
            if outcome is not None:
                self._meters.commit_failures[_reason(outcome)].inc()
            try:
                verdict(outcome)
            except Exception:
                logger.exception("%s did not take its verdict", write.lease.response_id)


def _reason(refusal: Exception) -> str:
    match refusal:
        case Conflict():
            return "conflict"
        case LogUnavailable():
            return "unavailable"
        case _:
            return "fenced"
