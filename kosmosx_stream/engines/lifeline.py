"""What waits for an engine, and ends when the engine is lost.

Knows no engine: whoever watches one calls `lose`, whoever waits for one does so in `hold`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from kosmosx_stream.engines.port import EngineDead


class Lifeline:
    """One engine's life, from its start until it is lost; it does not come back."""

    def __init__(self) -> None:
        self.lost: EngineDead | None = None
        self._waits: set[asyncio.Timeout] = set()

    @property
    def waited_for(self) -> bool:
        """Whether anything waits for this engine now."""
        return bool(self._waits)

    def check(self) -> None:
        """Let pass while the engine is there.

        Raises:
            EngineDead: it is lost.
        """
        if self.lost is not None:
            raise EngineDead(str(self.lost))

    def lose(self, reason: str) -> None:
        """End everything that waits for this engine. The first reason counts."""
        if self.lost is not None:
            return
        self.lost = EngineDead(reason)
        now = asyncio.get_running_loop().time()
        for wait in self._waits:
            wait.reschedule(now)

    @contextlib.asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Wait for the engine inside; no longer than it lives.

        For one wait only, never around the reader's own work between two: that must not be
        interrupted.

        Raises:
            EngineDead: the engine is lost, or was lost while this waited.
        """
        self.check()
        try:
            async with asyncio.timeout(None) as wait:
                self._waits.add(wait)
                try:
                    yield
                finally:
                    self._waits.discard(wait)
        except TimeoutError:
            self.check()
            raise
