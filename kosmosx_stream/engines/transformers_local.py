"""transformers as an engine of this server: for machines without vLLM, and to judge vLLM by.

One thread runs the model, a step at a time. Requests queue for it with one step each, so that
they advance in turn, and one that is closed is not stepped again. There is no batching and no
prefix cache: it is right, not fast.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self, TypeVar

from kosmosx_stream.engines.checkpoint import Checkpoint, decode
from kosmosx_stream.engines.guide import Guides
from kosmosx_stream.engines.port import (
    Deliver,
    Delta,
    EngineDead,
    EngineError,
    Generate,
    deliver_all,
)
from kosmosx_stream.settings import Settings

if TYPE_CHECKING:
    from kosmosx_stream.engines.transformers_model import Model

READY_TIMEOUT_S = 60.0
"""One step may take so long: a long prompt on a slow machine."""

T = TypeVar("T")


class TransformersEngine:
    """The `Engine` port on transformers."""

    def __init__(self, checkpoint: Checkpoint, model: "Model", worker: ThreadPoolExecutor) -> None:
        """`worker` has one thread, which runs the model."""
        self._checkpoint = checkpoint
        self._model = model
        self._guides = Guides(checkpoint)
        self._worker = worker
        self._closed = False
        self._done = 0  # pieces of work
        self.image_tokens = checkpoint.image_tokens
        self.max_model_len = checkpoint.max_model_len

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, settings: Settings) -> AsyncIterator[Self]:
        """Load the model; on leaving, answers that are still live fail at their next step."""
        checkpoint = Checkpoint.read(settings.model, settings.max_model_len)
        worker = ThreadPoolExecutor(1, thread_name_prefix="transformers")
        try:
            loop = asyncio.get_running_loop()
            model = await loop.run_in_executor(worker, _load, checkpoint)
            engine = cls(checkpoint, model, worker)
            try:
                yield engine
            finally:
                engine._closed = True
        finally:
            await asyncio.shield(asyncio.to_thread(worker.shutdown))

    def count(self, prompt_ids: tuple[int, ...], images: int) -> int:
        """Tokens of the expanded prompt."""
        return self._checkpoint.count(prompt_ids, images)

    async def ready(self) -> bool:
        """Whether the model's thread gets to new work, or at least gets on with the old."""
        before = self._done
        try:
            await asyncio.wait_for(self._in_worker(lambda: None), READY_TIMEOUT_S)
        except EngineError:
            return False
        except TimeoutError:
            return self._done > before
        return True

    async def generate(self, request: Generate, deliver: Deliver) -> None:
        """Generate an answer, a token a delta; see the port."""
        await deliver_all(self._answer(request), deliver)

    async def _answer(self, request: Generate) -> AsyncGenerator[Delta, None]:
        self._checkpoint.check(request)
        images = await asyncio.to_thread(lambda: [decode(image) for image in request.images])
        guide = self._guides.guide(request)
        answer = await self._in_worker(lambda: self._model.answer(request, images, guide))
        for left in reversed(range(self._checkpoint.budget(request))):
            token = await self._in_worker(answer.step)
            reason = self._checkpoint.finish_reason(token, left)
            yield Delta((token,), reason)
            if reason is not None:
                return

    async def _in_worker(self, work: Callable[[], T]) -> T:
        """Do the work when its turn comes. Cancelled before that, it is never begun.

        Raises:
            EngineDead: the engine was closed.
            EngineError: torch failed, for want of memory for example.
        """
        if self._closed:
            raise EngineDead("the engine was closed")
        try:
            result = await asyncio.get_running_loop().run_in_executor(self._worker, work)
        except RuntimeError as error:
            raise EngineError(f"{type(error).__name__}: {error}") from error
        self._done += 1
        return result


def _load(checkpoint: Checkpoint) -> "Model":
    from kosmosx_stream.engines.transformers_model import Kosmos2Model, TextModel  # noqa: PLC0415

    return Kosmos2Model(checkpoint) if checkpoint.kosmos2 else TextModel(checkpoint)
