"""A turn's own task: has the engine generate until the answer ends, fails or is cancelled.

If the engine dies under it, the turn waits for the engine to come back and goes on after the last
token that it has: a greedy answer reads as if nothing had happened.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from conversation.entries import Started
from conversation.ports import History
from kosmosx_stream.engines.port import (
    Deliver,
    Engine,
    EngineDead,
    EngineError,
    EngineRefused,
    Generate,
    ImageInput,
)
from kosmosx_stream.telemetry.meters import Meters

logger = logging.getLogger(__name__)

MAX_DEATHS = 3
"""Engines that a turn may outlive: a prompt that kills them must not kill them for ever."""
POLL_INTERVAL_S = 0.1

OnFailure = Callable[[str, str], object]
"""Takes an error code and a message for the client."""
Answered = Callable[[], tuple[int, ...]]
"""The answer's token ids so far."""


class Runner:
    """Runs turns on one engine."""

    def __init__(
        self, engine: Engine, history: History, meters: Meters, *, patience_s: float
    ) -> None:
        """`patience_s`: how long a turn waits for a dead engine to come back."""
        self._meters = meters
        self._engine = engine
        self._history = history
        self._patience_s = patience_s

    async def run(
        self, started: Started, answered: Answered, deliver: Deliver, on_failure: OnFailure
    ) -> None:
        """Generate the answer. Cancelling this task frees the engine's work on it."""
        try:
            await self._generate(started, answered, deliver)
        except EngineRefused as error:
            on_failure("invalid_prompt", str(error))
        except EngineError:
            logger.exception("the engine failed on %s", started.response_id)
            on_failure("server_error", "The engine stopped before the answer was finished.")
        except Exception:
            logger.exception("turn %s failed", started.response_id)
            on_failure("server_error", "The server could not finish the answer.")

    async def _generate(self, started: Started, answered: Answered, deliver: Deliver) -> None:
        for death in range(MAX_DEATHS + 1):
            try:
                request = await self._request(started, answered(), attempt=death)
                await self._engine.generate(request, deliver)
            except EngineDead:
                self._meters.engine_losses.inc()
                if death == MAX_DEATHS or not await self._engine_is_back():
                    raise
                logger.warning("%s goes on with another engine", started.response_id)
            else:
                return

    async def _engine_is_back(self) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience_s):
                while not await self._engine.ready():  # noqa: ASYNC110 - the port has no event
                    await asyncio.sleep(POLL_INTERVAL_S)
                return True
        return False

    async def _request(
        self, started: Started, answered: tuple[int, ...], *, attempt: int
    ) -> Generate:
        images = [
            ImageInput(image_id, await self._history.image(started.account_id, image_id))
            for image_id in started.image_ids
        ]
        return Generate(
            request_id=f"{started.response_id}-{attempt}",
            prompt_ids=(*started.prompt_ids, *answered),
            images=tuple(images),
            sampling=started.sampling,
            max_tokens=started.max_tokens - len(answered),
            cache_salt=started.account_id,
            grammar=started.grammar,
            answered=len(answered),
        )
