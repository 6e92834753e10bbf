"""Who reads what, in memory: instances in one process, for tests."""

import time
from collections.abc import Callable, Sequence


class MemoryAttendance:
    """The Attendance port on a dictionary that the instances share."""

    def __init__(
        self,
        notes: dict[str, tuple[str, float]],
        instance: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`notes`: the last instance to note a name, and until when that holds."""
        self._notes = notes
        self._instance = instance
        self._clock = clock

    async def note(self, names: Sequence[str], ttl_s: float) -> None:
        self._notes.update(dict.fromkeys(names, (self._instance, self._clock() + ttl_s)))

    async def elsewhere(self, name: str) -> bool:
        instance, until = self._notes.get(name, ("", 0.0))
        return self._clock() < until and instance != self._instance
