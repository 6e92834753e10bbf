"""Takes care of what others left: responses whose owner died, sessions that nobody uses.

Every instance runs one. The lease decides who goes on with a response; a response that has ended
is only settled, and settling twice changes nothing.
"""

import asyncio
import logging
import random
import time

from conversation.entries import Ended
from conversation.ports import EventLog, Lease
from kosmosx_stream.hub import Hub
from kosmosx_stream.response_log import ResponseLog
from kosmosx_stream.settings import Settings
from metering.store import Store

logger = logging.getLogger(__name__)

BATCH = 16
MAX_ADOPTIONS = 3
"""A turn that was lost more often than this is ended: its prompt may be what kills its owners."""


class Sweeper:
    """Adopts lapsed responses and closes idle sessions."""

    def __init__(
        self,
        *,
        log: EventLog,
        responses: ResponseLog,
        store: Store,
        hub: Hub,
        settings: Settings,
    ) -> None:
        self._log = log
        self._hub = hub
        self._responses = responses
        self._store = store
        self._settings = settings

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
        if not self._hub.can_adopt:
            return
        await self._adopt_lost()
        before = time.time() - self._settings.session_idle_s
        for session in await self._store.idle_sessions(before):
            await self._hub.sessions.close_idle(session, before)

    async def _adopt_lost(self) -> None:
        for response_id in await self._log.expired(BATCH):
            if self._hub.live(response_id) is not None:
                continue  # Ours, and late with its renewal.
            lease = await self._log.acquire(response_id, self._settings.lease_ttl_s)
            if lease is not None:
                await self._take_over(lease)

    async def _take_over(self, lease: Lease) -> None:
        entries = await self._responses.entries(lease.response_id)
        lost = bool(entries) and not isinstance(entries[-1], Ended)
        if lost and lease.epoch <= 1 + MAX_ADOPTIONS and self._hub.understands(entries):
            logger.warning("adopting %s at entry %d", lease.response_id, len(entries))
            self._hub.adopt(lease, entries)
            return
        await self._hub.ending.end(
            lease,
            entries,
            "error",
            error_code="server_error",
            error_message="The server stopped before the answer was finished.",
        )
