"""Compares what was sent with what Stripe counted, hour by hour, and repairs what it may."""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Protocol

from metering.outbox import Outbox
from metering.reconciliation import MeterHour, Verdict
from metering.sink import SinkFailed

logger = logging.getLogger(__name__)

BATCH = 100
INTERVAL_S = 900.0


class Summaries(Protocol):
    """What Stripe counted."""

    async def units(self, hour: MeterHour) -> int:
        """The units of the customer and meter in that hour.

        Raises:
            SinkFailed: it cannot be told now.
        """
        ...


class Reconciler:
    """Every server may run one: the verdict on an hour is one transaction."""

    def __init__(
        self,
        outbox: Outbox,
        summaries: Summaries,
        now: Callable[[], float],
    ) -> None:
        self._outbox = outbox
        self._summaries = summaries
        self._now = now
        self._wanted = asyncio.Event()
        self.succeeded_at = now()
        """When a round last came to its end; before the first one, when this began."""

    async def run(self) -> None:
        """Reconcile until cancelled: now and then, and when it is wanted."""
        while True:
            try:
                await self.reconcile()
            except SinkFailed as error:
                logger.warning("billing: Stripe's summaries cannot be read: %s", error)
            except Exception:
                logger.exception("reconciling failed; it is tried again")
            await self._pause()

    def want(self) -> None:
        """Have it run soon: Stripe told of an error."""
        self._wanted.set()

    async def reconcile(self) -> list[tuple[MeterHour, Verdict]]:
        """Compare every hour that can be compared now, once; what came of each.

        Raises:
            SinkFailed: Stripe does not answer; what was compared until then stays so.
        """
        verdicts: dict[MeterHour, Verdict] = {}
        while True:
            listed = await self._outbox.unreconciled(self._now(), limit=BATCH)
            # A mismatch is listed again, after all that were not compared yet.
            hours = [hour for hour in listed if hour not in verdicts]
            for hour in hours:
                verdicts[hour] = await self._compare(hour)
            if len(hours) < BATCH:
                self.succeeded_at = self._now()
                return list(verdicts.items())

    async def _compare(self, hour: MeterHour) -> Verdict:
        at = self._now()
        found = await self._summaries.units(hour)
        verdict = await self._outbox.reconcile(hour, found, at)
        if verdict.outcome == "mismatch":
            logger.error(
                "billing: %s of %s in the hour from %d: Stripe has %d units, we sent %d",
                hour.meter, hour.customer_id, hour.hour, found, verdict.expected,
            )  # fmt: skip
        elif verdict.outcome == "repaired":
            logger.warning(
                "billing: %s of %s in the hour from %d: %d units did not arrive, and are sent now",
                hour.meter, hour.customer_id, hour.hour, verdict.missing,
            )  # fmt: skip
        return verdict

    async def _pause(self) -> None:
        self._wanted.clear()
        seconds = INTERVAL_S * random.uniform(0.5, 1.5)  # noqa: S311
        try:
            async with asyncio.timeout(seconds):
                await self._wanted.wait()
        except TimeoutError:
            pass
