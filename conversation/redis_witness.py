"""Sees that the store was set back to an older state, by the commits of this server that it lacks.

Every commit counts up in the store, under a name of this server alone; what was acknowledged is
remembered here. Whatever is live in a store that has fewer is marked there: it may go on with other
words than it once did. Servers that were down meanwhile have nothing to remember.
"""

import secrets
import time

from redis.asyncio import Redis

from conversation.redis_connection import Script, milliseconds

KEPT_S = 86_400.0
"""For so long the store keeps the count of a server that commits nothing more."""
REMEMBERED_S = KEPT_S / 2
"""The server forgets its count first."""


class Witness:
    """What this server knows of its own commits."""

    def __init__(self, redis: Redis, *, patience_s: float) -> None:
        self._testify = Script(redis, "testify", flags="allow-oom", patience_s=patience_s)
        self._begin()

    def _begin(self) -> None:
        self._name, self._commits, self._at = secrets.token_hex(8), 0, time.monotonic()

    def testimony(self) -> tuple[str, int, int]:
        """Name, commits that were acknowledged, and the ms to keep their count: for the scripts."""
        if time.monotonic() - self._at > REMEMBERED_S:
            self._begin()
        return self._name, self._commits, milliseconds(KEPT_S)

    def acknowledged(self, commits: int) -> None:
        """The store has so many. Replies may come out of order."""
        self._commits, self._at = max(self._commits, commits), time.monotonic()

    async def testify(self, response_id: str = "") -> bool:
        """Let the store mark what is live if it was set back; whether this response is marked.

        Raises:
            LogUnavailable: the store cannot be reached.
        """
        return bool(await self._testify(*self.testimony(), response_id))
