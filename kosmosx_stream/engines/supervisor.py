"""Keeps one engine running: notices that it died or hangs, ends it, and starts another.

Knows neither vLLM nor turns: an engine is whatever its factory starts. What went on in the engine
that is lost ends with `EngineDead`; going on with it is the business of whoever asked.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, Self

import msgspec

from kosmosx_stream.engines.lifeline import Lifeline
from kosmosx_stream.engines.port import Deliver, Delta, Engine, EngineDead, Generate

logger = logging.getLogger(__name__)

TICK_S = 0.5
"""How often the engine is looked at."""
PATIENCE_TICKS = 6
"""An engine that was still for so many ticks in a row hangs."""
WORKING_SHARE = 0.05
"""An engine that uses more of a core than this is not still: it may be at a long prompt."""
START_TIMEOUT_S = 600.0
END_TIMEOUT_S = 20.0
BACKOFF_S = (1.0, 30.0)
"""Longest pause before the first attempt to start again, and before any; half of it is drawn."""
HEALTHY_S = 60.0
"""An engine that ran for so long was well: the pauses begin anew."""


class LocalEngine(Engine, Protocol):
    """An engine that runs on this machine."""

    def cpu_s(self) -> float:
        """CPU time that its processes have used so far, in seconds."""
        ...


Factory = Callable[[], AbstractAsyncContextManager[LocalEngine]]
"""Starts an engine, and ends it on leaving; if `EngineDead` is what leaves, by force."""


class Time(msgspec.Struct, frozen=True, kw_only=True):
    """The clock that the supervisor goes by, and its dice."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    monotonic: Callable[[], float] = time.monotonic
    uniform: Callable[[float, float], float] = random.uniform


class Supervisor:
    """The `Engine` port on whichever engine runs at the moment."""

    def __init__(self, factory: Factory, timing: Time) -> None:
        self._factory = factory
        self._time = timing
        self._life: _Life  # of the engine that runs, or the one that ran last

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, factory: Factory, timing: Time | None = None) -> AsyncIterator[Self]:
        """Start the first engine, and keep one running until this is left.

        Raises:
            Exception: whatever the factory raises at the first start.
        """
        supervisor = cls(factory, timing or Time())
        supervisor._life = await supervisor._start()
        keeper = asyncio.create_task(supervisor._keep())
        try:
            yield supervisor
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])

    @property
    def max_model_len(self) -> int:
        """Longest prompt plus answer in tokens."""
        return self._life.engine.max_model_len

    @property
    def image_tokens(self) -> int:
        """Tokens that one pair adds to a prompt beyond itself."""
        return self._life.engine.image_tokens

    def count(self, prompt_ids: tuple[int, ...], images: int) -> int:
        """Tokens of the expanded prompt."""
        return self._life.engine.count(prompt_ids, images)

    async def ready(self) -> bool:
        """Whether an engine runs, as far as is known; nothing is asked of it for this."""
        return self._life.lost is None

    async def generate(self, request: Generate, deliver: Deliver) -> None:
        """Generate an answer; see the port. Between two engines it raises `EngineDead` at once."""
        await self._life.generate(request, deliver)

    async def _keep(self) -> None:
        """Watch the engine, and replace it when it is lost; until cancelled."""
        failures = 0
        try:
            while True:
                started_at = self._time.monotonic()
                await self._watch(self._life)
                lost_at = self._time.monotonic()
                logger.error("the engine is lost (%s): starting another", self._life.lost)
                if lost_at - started_at >= HEALTHY_S:
                    failures = 0
                await self._end(self._life)
                self._life, failures = await self._start_again(failures)
                logger.warning("the engine is back after %.1f s", self._time.monotonic() - lost_at)
        except Exception:
            # Better no engine, which readiness shows, than one that nobody watches.
            logger.exception("the engine can no longer be watched: it is ended")
        finally:
            await self._end(self._life)

    async def _watch(self, life: "_Life") -> None:
        """Return when the engine is lost.

        Patience is counted in ticks, not in seconds: if this process was stopped or starved, as
        when the whole machine slept, the engine is not to blame for the time.
        """
        still = 0
        while life.lost is None:
            await self._time.sleep(TICK_S)
            if life.moved():
                still = 0
            else:
                still += 1
            if still >= PATIENCE_TICKS:
                life.lose(f"it did nothing for {still * TICK_S:.0f} s, though it was asked to")

    async def _start(self) -> "_Life":
        context = self._factory()
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                return _Life(await context.__aenter__(), context)
        except TimeoutError as error:
            raise EngineDead(f"it did not start within {START_TIMEOUT_S:.0f} s") from error

    async def _start_again(self, failures: int) -> tuple["_Life", int]:
        """A new engine, and how many times in a row one was lost or did not start."""
        while True:
            await self._pause(failures)
            failures += 1
            try:
                return await self._start(), failures
            except Exception:
                logger.exception("the engine could not be started: trying again")

    async def _pause(self, failures: int) -> None:
        first, most = BACKOFF_S
        longest = min(most, first * 2 ** min(failures, 16))
        await self._time.sleep(self._time.uniform(longest / 2, longest))

    async def _end(self, life: "_Life") -> None:
        """End the engine, by force if it is lost; does not wait for ever."""
        if life.ended:
            return
        life.ended = True
        error = life.lost
        life.lose("the server is going down")
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                await life.context.__aexit__(type(error) if error else None, error, None)
        except EngineDead:
            pass
        except Exception:
            logger.exception("the engine did not end well")


class _Life(Lifeline):
    """One engine from its start to its end."""

    def __init__(
        self, engine: LocalEngine, context: AbstractAsyncContextManager[LocalEngine]
    ) -> None:
        super().__init__()
        self.engine = engine
        self.context = context
        self.ended = False
        self._spoke = False
        self._used_s: float | None = None
        self._question: asyncio.Task[bool] | None = None

    def lose(self, reason: str) -> None:
        """End everything that waits for this engine."""
        super().lose(reason)
        if self._question is not None:
            self._question.cancel()

    async def generate(self, request: Generate, deliver: Deliver) -> None:
        """Generate an answer; see the port.

        Raises:
            EngineDead: the engine died, or is lost while this waits.
        """

        def heard(delta: Delta) -> asyncio.Future[None] | None:
            self._spoke = True
            return deliver(delta)

        try:
            with self.hold():
                await self.engine.generate(request, heard)
        except EngineDead as error:
            self.lose(str(error))
            raise

    def moved(self) -> bool:
        """Whether the engine showed life since this was last asked: spoke, answered or worked.

        The engine is asked whether it is ready, one question at a time; one that spoke just now
        says so without being put to work.
        """
        if self._spoke:
            self._spoke, self._used_s = False, None
            return True
        if self._question is None or self._question.done():
            return self._heard_answer()
        return self._worked()

    def _heard_answer(self) -> bool:
        question, self._used_s = self._question, None
        if question is not None and not question.result():
            self.lose("it says that it is not ready")
        else:
            self._question = asyncio.create_task(self._ask())
        return True

    async def _ask(self) -> bool:
        try:
            return await self.engine.ready()
        except Exception:
            logger.exception("the engine could not be asked")
            return False

    def _worked(self) -> bool:
        before, self._used_s = self._used_s, self.engine.cpu_s()
        return before is not None and self._used_s - before > WORKING_SHARE * TICK_S
