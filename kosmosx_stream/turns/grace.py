"""Grace periods by name: each begins anew when what it was granted for happens again."""

import asyncio
from collections.abc import Callable


class GracePeriods:
    """What is to be looked at when nothing has happened for a while."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def begin(self, name: str, check: Callable[[], None]) -> None:
        """Call `check` when the period is over; one of this name that is running counts no more."""
        former = self._timers.pop(name, None)
        if former is not None:
            former.cancel()

        def over() -> None:
            del self._timers[name]
            check()

        self._timers[name] = asyncio.get_running_loop().call_later(self._grace_s, over)
