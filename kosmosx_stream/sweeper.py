"""Takes care of what others left: responses whose owner died, sessions that nobody uses.

Every instance runs one. The lease decides who settles a response; settling twice changes nothing.
"""

import asyncio
import logging
import random
import time

from conversation.entries import Ended, Entry, pack
from conversation.ports import EventLog, Lease, LogUnavailable, Write
from kosmosx_stream.hub import Hub
from kosmosx_stream.response_log import ResponseLog
from kosmosx_stream.settings import Settings
from metering.store import Store

logger = logging.getLogger(__name__)

BATCH = 16


class Sweeper:
    """Settles lapsed responses and closes idle sessions."""

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
        """One round."""
        for response_id in await self._log.expired(BATCH):
            lease = await self._log.acquire(response_id, self._settings.lease_ttl_s)
            if lease is not None:
                await self._settle(lease)
        before = time.time() - self._settings.session_idle_s
        for session in await self._store.idle_sessions(before):
            await self._hub.close_idle(session, before)

    async def _settle(self, lease: Lease) -> None:
        entries = await self._responses.entries(lease.response_id)
        if entries:
            if not isinstance(entries[-1], Ended):
                entries.append(await self._end(lease, len(entries)))
            await self._responses.record(entries)
            logger.info("settled %s after its owner was lost", lease.response_id)
        await self._log.release(lease)

    async def _end(self, lease: Lease, length: int) -> Entry:
        """Write the last entry in the lost owner's place."""
        ended = Ended(
            reason="error",
            at=time.time(),
            error_code="server_error",
            error_message="The server stopped before the answer was finished.",
        )
        write = Write(lease=lease, expected=length, entries=(pack(ended),))
        (refused,) = await self._log.append([write], self._settings.lease_ttl_s)
        if refused is not None:
            raise LogUnavailable(f"{lease.response_id}: {refused!r}")
        return ended
