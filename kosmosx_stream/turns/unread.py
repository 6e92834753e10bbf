"""Stops responses that nobody reads, on any instance, for the grace period."""

from collections.abc import Callable

from conversation.ports import Attendance
from kosmosx_stream.turns.grace import GracePeriods
from kosmosx_stream.turns.live_response import LiveResponse
from kosmosx_stream.turns.sessions import Spawn, attended_elsewhere

Holds = Callable[[LiveResponse], bool]
"""Whether a response is still live here."""


class Unread:
    """Watches responses whose last reader has left."""

    def __init__(
        self, attendance: Attendance, holds: Holds, spawn: Spawn, *, grace_s: float
    ) -> None:
        self._attendance = attendance
        self._holds = holds
        self._spawn = spawn
        self._grace = GracePeriods(grace_s)

    def watch(self, live: LiveResponse, stop: Callable[[], None]) -> None:
        """Some time after the last reader left, stop the response unless anybody reads it."""

        def check() -> None:
            if self._holds(live):
                self._spawn(self._stop_if_unread(live, stop))

        self._grace.begin(live.started.response_id, check)

    async def _stop_if_unread(self, live: LiveResponse, stop: Callable[[], None]) -> None:
        if live.readers or live.started.background:
            return
        if await attended_elsewhere(self._attendance, live.started.response_id):
            self.watch(live, stop)
        elif not live.readers:
            stop()
