"""A turn's own task: pulls deltas out of the engine until it ends, fails or is cancelled."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

from conversation.entries import Started
from conversation.ports import Conflict, Fenced, History, LogUnavailable
from kosmosx_stream.committer import Verdict
from kosmosx_stream.engines.port import (
    Delta,
    Engine,
    EngineError,
    EngineRefused,
    Generate,
    ImageInput,
)

logger = logging.getLogger(__name__)

OnDelta = Callable[[Delta], Sequence[Verdict]]
"""Takes a delta to the session; returns the commits that it led to."""
OnFailure = Callable[[str, str], object]
"""Takes an error code and a message for the client."""


class Runner:
    """Runs turns on one engine."""

    def __init__(self, engine: Engine, history: History) -> None:
        self._engine = engine
        self._history = history

    async def run(self, started: Started, on_delta: OnDelta, on_failure: OnFailure) -> None:
        """Generate the answer. Cancelling this task frees the engine's work on it."""
        try:
            deltas = self._engine.generate(await self._request(started))
            async with contextlib.aclosing(deltas):
                async for delta in deltas:
                    for verdict in on_delta(delta):
                        # Backpressure: the next step is taken when this one is durable.
                        await asyncio.shield(verdict)
        except (Fenced, Conflict, LogUnavailable):
            pass  # The response was given up where the verdict arrived.
        except EngineRefused as error:
            on_failure("invalid_prompt", str(error))
        except EngineError:
            logger.exception("the engine failed on %s", started.response_id)
            on_failure("server_error", "The engine stopped before the answer was finished.")
        except Exception:
            logger.exception("turn %s failed", started.response_id)
            on_failure("server_error", "The server could not finish the answer.")

    async def _request(self, started: Started) -> Generate:
        images = [
            ImageInput(image_id, await self._history.image(started.account_id, image_id))
            for image_id in started.image_ids
        ]
        return Generate(
            request_id=started.response_id,
            prompt_ids=started.prompt_ids,
            images=tuple(images),
            sampling=started.sampling,
            max_tokens=started.max_tokens,
            cache_salt=started.account_id,
        )
