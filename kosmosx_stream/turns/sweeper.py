"""Takes care of what others left: responses whose owner died, sessions that nobody uses.

Every instance runs one.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable

from kosmosx_stream.settings import Settings
from kosmosx_stream.turns.heartbeat import BEATS
from kosmosx_stream.turns.hub import Hub
from kosmosx_stream.turns.idle_watch import IdleWatch
from metering.ledger import Ledger

logger = logging.getLogger(__name__)


AFTER_LAPSE_S = 0.005, 0.025
"""So soon after a lease has lapsed it is looked at, by one instance after another."""
BOOKS_INTERVAL_S = 2.0
"""How often the books are looked through, at the most: nobody waits for that."""


class Sweeper:
    """Has lapsed responses adopted, and idle sessions closed."""

    def __init__(self, *, ledger: Ledger, hub: Hub, settings: Settings) -> None:
        self._hub = hub
        self._ledger = ledger
        self._settings = settings
        # A session in use is touched in every beat; one may come late.
        self._watch = IdleWatch(1.5 * settings.session_idle_s / BEATS)

    async def run(self) -> None:
        """Sweep until cancelled: for lost responses often, and however slow the books are."""
        settings = self._settings
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_repeat(self._adopt, settings.sweep_interval_s))
            books_s = min(BOOKS_INTERVAL_S, settings.session_idle_s / 10)
            tasks.create_task(_repeat(self.sweep, books_s))

    async def _adopt(self) -> float | None:
        """Returns the seconds until there may be something to adopt, if that is known."""
        if not self._hub.takes_turns:
            return None
        return await self._hub.adoption.take_over_lost()

    async def sweep(self) -> None:
        """One round. Sessions close only after their lost turns were taken up again."""
        if not self._hub.takes_turns:
            return
        await self._adopt()
        await self._ledger.cut_segments(time.time())
        before = time.time() - self._settings.session_idle_s
        idle = await self._ledger.idle_sessions(before)
        for session in self._watch.untouched(idle, time.monotonic()):
            await self._hub.sessions.close_idle(session, before)


async def _repeat(work: Callable[[], Awaitable[float | None]], interval_s: float) -> None:
    """Work for ever; sooner than the interval where the work says when it is due.

    Both are jittered, so that instances take turns.
    """
    while True:
        pause_s = interval_s * random.uniform(0.5, 1.5)  # noqa: S311
        try:
            due_s = await work()
        except Exception:
            logger.exception("the sweep failed; it is tried again")
        else:
            if due_s is not None:
                pause_s = min(pause_s, due_s + random.uniform(*AFTER_LAPSE_S))  # noqa: S311
        await asyncio.sleep(pause_s)
