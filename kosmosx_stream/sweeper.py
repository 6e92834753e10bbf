"""Takes care of what others left: responses whose owner died, sessions that nobody uses.

Every instance runs one.
"""

import asyncio
import logging
import random
import time

from kosmosx_stream.heartbeat import BEATS
from kosmosx_stream.hub import Hub
from kosmosx_stream.idle_watch import IdleWatch
from kosmosx_stream.settings import Settings
from metering.ledger import Ledger

logger = logging.getLogger(__name__)


class Sweeper:
    """Has lapsed responses adopted, and idle sessions closed."""

    def __init__(self, *, ledger: Ledger, hub: Hub, settings: Settings) -> None:
        self._hub = hub
        self._ledger = ledger
        self._settings = settings
        # A session in use is touched in every beat; one may come late.
        self._watch = IdleWatch(1.5 * settings.session_idle_s / BEATS)

    async def run(self) -> None:
        """Sweep until cancelled. The interval is jittered, so that instances take turns."""
        while True:
            try:
                await self.sweep()
            except Exception:
                logger.exception("the sweep failed; it is tried again")
            await asyncio.sleep(self._settings.sweep_interval_s * random.uniform(0.5, 1.5))  # noqa: S311

    async def sweep(self) -> None:
        """One round. Sessions close only after their lost turns were taken up again."""
        if not self._hub.takes_turns:
            return
        await self._hub.adoption.take_over_lost()
        await self._ledger.cut_segments(time.time())
        before = time.time() - self._settings.session_idle_s
        idle = await self._ledger.idle_sessions(before)
        for session in self._watch.untouched(idle, time.monotonic()):
            await self._hub.sessions.close_idle(session, before)
