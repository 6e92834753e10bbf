"""One fault at one time: what it breaks, when it began, and when all was whole again."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from tests.chaos.world import Target, World


@dataclass
class Strike:
    """The n-th of a campaign. What it draws follows from the seed and n alone."""

    name: str
    number: int
    rng: random.Random
    began: float | None = None
    ended: float | None = None
    """Seconds of the monotonic clock; a strike that has not ended breaks something still."""
    missed: bool = False
    """The named point was not reached: nothing was broken."""
    _clock: Callable[[], float] = field(default_factory=lambda: asyncio.get_running_loop().time)

    @contextlib.asynccontextmanager
    async def on(self, *targets: Target) -> AsyncIterator[None]:
        """Break these, and nobody else meanwhile."""
        async with contextlib.AsyncExitStack() as stack:
            for target in sorted(targets, key=id):  # in one order, or two would wait for ever
                await stack.enter_async_context(target.lock)
            self.begin()
            try:
                yield
            finally:
                self.ended = self._clock()

    def begin(self) -> None:
        """It hits now."""
        self.began = self._clock()

    def hit(self, before: float, after: float) -> bool:
        """Whether it was under way somewhere between these times."""
        began, ended = self.began, self.ended
        return began is not None and began < after and (ended is None or ended > before)


Fault = Callable[[World, Strike], Awaitable[None]]
