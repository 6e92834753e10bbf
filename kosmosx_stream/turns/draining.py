"""How an instance leaves: its turns finish or are handed over, then its connections end.

Nobody's session ends with it: clients come back to theirs on another instance, or on this one when
it is started again; a session to which nobody comes back is closed by a sweeper as idle.
"""

import asyncio
import contextlib
from collections.abc import Iterator

from conversation.ports import LogUnavailable
from kosmosx_stream.protocol.errors import Unavailable
from kosmosx_stream.turns.live_turns import LiveTurns

GOODBYE_S = 2.0
"""Longest wait for connections that are to end by themselves."""


class Drain:
    """Begins once, and is over once; connections wait for either."""

    def __init__(self, turns: LiveTurns, *, timeout_s: float) -> None:
        """`timeout_s`: how long turns have to finish."""
        self._turns = turns
        self._timeout_s = timeout_s
        self._waiting: asyncio.Timeout | None = None
        self.began = asyncio.Event()
        """No new turns."""
        self.over = asyncio.Event()
        """No turns: what has not finished goes on elsewhere."""
        self._guests: set[asyncio.Future[None]] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    @contextlib.contextmanager
    def guest(self) -> Iterator[asyncio.Future[None]]:
        """A connection that ends by itself when the drain is over; it is told when that begins.

        Raises:
            Unavailable: the drain has begun.
        """
        if self.began.is_set():
            raise Unavailable("The server goes down. Try another one.", code="server_unavailable")
        leaving = asyncio.get_running_loop().create_future()
        self._guests.add(leaving)
        self._empty.clear()
        try:
            yield leaving
        finally:
            self._guests.discard(leaving)
            if not self._guests:
                self._empty.set()

    async def run(self) -> None:
        """Let live turns finish, hand over those that did not, and see the guests off."""
        self._begin()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout_s) as self._waiting:
                await self._turns.until_idle()
        self._waiting = None
        await self.hand_over()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await self._empty.wait()

    def hurry(self) -> None:
        """Give live turns no more time; `run` does the rest, now or when it begins."""
        self._timeout_s = 0
        if self._waiting is not None:
            self._waiting.reschedule(0)

    async def hand_over(self) -> None:
        """Leave whatever is live, after its last committed token, to whoever sweeps next."""
        self._begin()
        self.over.set()
        handed = self._turns.all()
        for live in handed:
            live.lose()
        self._turns.sessions.forget_all()
        with contextlib.suppress(LogUnavailable):
            await self._turns.committer.hand_over([live.lease for live in handed])

    def _begin(self) -> None:
        self.began.set()
        for leaving in self._guests:
            if not leaving.done():
                leaving.set_result(None)
