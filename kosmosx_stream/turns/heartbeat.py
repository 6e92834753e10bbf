"""Says of everything that is in use here that it is: leases in the log, sessions in the books."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable

from conversation.ports import LogUnavailable
from kosmosx_stream.turns.committer import Committer
from kosmosx_stream.turns.live_response import LiveResponse
from kosmosx_stream.turns.sessions import Sessions
from metering.errors import StoreUnavailable

logger = logging.getLogger(__name__)

BEATS = 3
"""Signs of life within the time after which others think that nobody is there."""


class Heartbeat:
    """Keeps leases and sessions of this instance from being taken for lost or idle."""

    def __init__(
        self,
        committer: Committer,
        sessions: Sessions,
        live: Callable[[], Iterable[LiveResponse]],
    ) -> None:
        self._committer = committer
        self._sessions = sessions
        self._live = live

    async def renew_leases(self, ttl_s: float) -> None:
        """Renew for ever, for turns that have nothing to write, e.g. in a long prefill."""
        while True:
            await asyncio.sleep(ttl_s / BEATS)
            await self.renew()

    async def touch_sessions(self, idle_s: float) -> None:
        """Touch for ever the sessions with a connection or a turn, which others cannot see."""
        while True:
            await asyncio.sleep(idle_s / BEATS)
            with contextlib.suppress(StoreUnavailable):
                await self._sessions.touch_used()

    async def note_connections(self, grace_s: float) -> None:
        """Note for ever the sessions with a connection here, for instances that have lost one."""
        while grace_s:
            with contextlib.suppress(LogUnavailable):
                await self._sessions.note_connected()
            await asyncio.sleep(grace_s / BEATS)

    async def renew(self) -> None:
        """Renew once; give up what was taken over meanwhile."""
        turns = list(self._live())
        if not turns:
            return
        with contextlib.suppress(LogUnavailable):
            ours = await self._committer.renew([live.lease for live in turns])
            for live, held in zip(turns, ours, strict=True):
                if not held:
                    live.lose()
