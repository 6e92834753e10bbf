"""What is looked at now and then, as long as the server runs: the event loop, the books, the model.

A scrape asks nobody: it shows what was seen last.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from kosmosx_stream.telemetry.meters import Meters
from metering.outbox import Outbox, OutboxHealth

logger = logging.getLogger(__name__)

LOOP_INTERVAL_S = 0.25
READY_INTERVAL_S = 1.0
BOOKS_INTERVAL_S = 15.0

Ready = Callable[[], Awaitable[bool]]


async def watch_loop(meters: Meters) -> None:
    """Measure for ever how late the event loop is; and count what the steps before it took."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LOOP_INTERVAL_S
        await asyncio.sleep(LOOP_INTERVAL_S)
        meters.loop_lag.observe(max(0.0, loop.time() - due))
        meters.fold()


async def watch_readiness(meters: Meters, engine_ready: Ready, ready: Ready) -> None:
    """Ask for ever whether the engine answers, and whether a turn would be taken."""
    while True:
        meters.engine_ready.set(await engine_ready())
        meters.ready.set(await ready())
        await asyncio.sleep(READY_INTERVAL_S)


async def watch_books(meters: Meters, outbox: Outbox) -> None:
    """Ask the books for ever whether the bill arrives."""
    while True:
        try:
            health = await outbox.health()
        except Exception as error:  # noqa: BLE001 - whatever it is, they cannot be read
            logger.warning("the outbox cannot be read: %s", error)
            meters.books_up.set(0)
        else:
            meters.books_up.set(1)
            show_outbox(meters, health, time.time())
        await asyncio.sleep(BOOKS_INTERVAL_S)


def show_outbox(meters: Meters, health: OutboxHealth, now: float) -> None:
    """Show what the books said at `now`, in Unix seconds."""
    for state, count in (
        ("pending", health.pending),
        ("ambiguous", health.ambiguous),
        ("dead", health.dead),
        ("expired", health.expired),
    ):
        meters.outbox_rows[state].set(count)
    oldest_at = health.oldest_pending_at
    meters.outbox_age.set(0 if oldest_at is None else max(0.0, now - oldest_at))
    meters.outbox_unlinked.set(health.unlinked)
    meters.reconcile_hours.set(health.mismatched_hours)
    meters.reconcile_delta.set(health.mismatched_units)
