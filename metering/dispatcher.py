"""Sends what the outbox holds. Every server runs one; they share the rows by claiming them.

Each attempt is committed before it is made, and a row leaves the outbox only once Stripe has said
that it has it. What happens in between, a kill included, makes a row be sent again under the same
identifier while Stripe still remembers that, and never after.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import assert_never

import msgspec

from metering.errors import StoreUnavailable
from metering.outbox import Outbox, OutboxRow
from metering.sink import (
    Accepted,
    Answer,
    Invalid,
    Invoices,
    Refused,
    Sink,
    SinkFailed,
    Unanswered,
    Unauthorised,
)

logger = logging.getLogger(__name__)

SEND_TIMEOUT_S = 30.0
LEASE_S = 120.0
"""Longer than a call and its record can take."""
LONGEST_BACKOFF_S = 3600.0
PAUSE_S = 300.0


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How much is sent, and how often; times in seconds.

    `delay_s` after its use a row is sent: Stripe refuses what is more than five minutes ahead of
    its own clock, so with six minutes ours may go ten minutes wrong.
    """

    interval_s: float = 5.0
    delay_s: float = 360.0
    rows: int = 100


class Dispatcher:
    """Claims rows, sends them, and writes down what was answered."""

    def __init__(
        self,
        outbox: Outbox,
        sink: Sink,
        invoices: Invoices,
        now: Callable[[], float],
        pace: Pace,
    ) -> None:
        self._outbox = outbox
        self._sink = sink
        self._invoices = invoices
        self._now = now
        self._pace = pace
        self._paused_until = 0.0

    async def run(self) -> None:
        """Dispatch until cancelled."""
        while True:
            try:
                sent = await self.round()
            except StoreUnavailable as error:
                logger.warning("the outbox cannot be read: %s", error)
                sent = 0
            except Exception:
                logger.exception("dispatching failed; it is tried again")
                sent = 0
            if not sent:
                await asyncio.sleep(self._pace.interval_s * random.uniform(0.5, 1.5))  # noqa: S311

    async def round(self) -> int:
        """Send what is due now; how many rows were tried."""
        now = self._now()
        await self._give_up(now)
        if now < self._paused_until:
            return 0
        rows = await self._outbox.claim(
            now,
            lease_s=LEASE_S,
            limit=self._pace.rows,
            delay_s=self._pace.delay_s,
            abreast=self._sink.abreast,
        )
        async with asyncio.TaskGroup() as group:
            for start in range(0, len(rows), self._sink.batch):
                group.create_task(self._deliver(rows[start : start + self._sink.batch]))
        await self._invoice_expired()
        return len(rows)

    async def _give_up(self, now: float) -> None:
        ambiguous, expired = await self._outbox.age(now)
        if ambiguous:
            logger.error(
                "billing: %d rows were sent without an answer for 23 hours; they are not sent"
                " again before Stripe's summaries tell whether they arrived",
                ambiguous,
            )
        if expired:
            logger.error(
                "billing: %d rows are too old for Stripe's meters; they go onto the next invoice",
                expired,
            )

    async def _deliver(self, rows: Sequence[OutboxRow]) -> None:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                answers = await self._sink.send(rows)
        except TimeoutError:
            answers = [Unanswered(f"no answer in {SEND_TIMEOUT_S:.0f} s")] * len(rows)
        for row, answer in zip(rows, answers, strict=True):
            await self._settle(row, answer)

    async def _settle(self, row: OutboxRow, answer: Answer) -> None:
        now = self._now()
        match answer:
            case Accepted():
                await self._accept(row, now)
            case Invalid(reason):
                logger.error("billing: %s is refused for good: %s", row.id, reason)
                await self._outbox.bury(row.id, now, reason)
            case Refused(reason, retry_after_s):
                until = now + max(backoff_s(row.attempts), retry_after_s)
                await self._outbox.postpone(row, now, until=until, note=reason, refused=True)
            case Unauthorised(reason):
                if now >= self._paused_until:
                    logger.error("billing: Stripe refuses our key, nothing is sent: %s", reason)
                self._paused_until = now + PAUSE_S
                await self._outbox.postpone(row, now, until=now, note=reason, refused=True)
            case Unanswered(reason):
                until = now + backoff_s(row.attempts)
                await self._outbox.postpone(row, now, until=until, note=reason, refused=False)
            case never:
                assert_never(never)

    async def _accept(self, row: OutboxRow, now: float) -> None:
        if not await self._outbox.accept(row.id, now):
            logger.warning("billing: Stripe has %s, which was settled in another way", row.id)

    async def _invoice_expired(self) -> None:
        rows = await self._outbox.claim_expired(self._now(), lease_s=LEASE_S, limit=10)
        for row in rows:
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    item = await self._invoices.add(row)
            except (SinkFailed, TimeoutError) as error:
                logger.warning("billing: %s is not on an invoice yet: %s", row.id, error)
            else:
                await self._outbox.invoice(row.id, self._now(), item)
                logger.error("billing: %s came too late for its meter: see %s", row.id, item)


def backoff_s(attempts: int) -> float:
    """How long to wait after so many attempts: twice as long each time, and never together."""
    longest = min(LONGEST_BACKOFF_S, 2.0 ** min(attempts, 20))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311
