"""vLLM as an engine of this server: `AsyncLLM` here, the model in a process of its own.

Knows token ids and images; knows neither sessions nor text.
"""

import asyncio
import contextlib
import logging
import multiprocessing
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from PIL import Image

from kosmosx_stream.engines import engine_log, picture_tokens
from kosmosx_stream.engines.checkpoint import Checkpoint, decode
from kosmosx_stream.engines.port import Deliver, EngineDead, EngineError, Generate
from kosmosx_stream.settings import Settings

if TYPE_CHECKING:
    from kosmosx_stream.engines.vllm_outputs import Answer, StepOutputs

logger = logging.getLogger(__name__)

PROBE_TIMEOUT_S = 60.0
"""On a CPU the prompts before the probe may take so long."""
FRESH_S = 0.75
"""An engine that spoke so recently is alive; it is not asked again."""
SHUTDOWN_TIMEOUT_S = 8.0
"""The engine needs about 4 s to end in good order; then it is killed."""
MAX_KNOWN_IMAGES = 4096


class VllmEngine:
    """The `Engine` port on vLLM."""

    def __init__(self, llm: Any, model: Path) -> None:
        self._llm = llm
        self._outputs: StepOutputs = llm.output_processor
        self._checkpoint = Checkpoint.read(model, llm.model_config.max_model_len)
        self._squared = False
        self.max_model_len = self._checkpoint.max_model_len
        self._known: dict[str, None] = {}  # keys of images that vLLM was sent, oldest first

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, settings: Settings) -> AsyncIterator[Self]:
        """Start the engine, wait until it has generated a token, and end it on leaving.

        If `EngineDead` leaves, the engine is killed: nothing that hangs ends in good order.
        vLLM's log goes to `vllm.log` in the data folder.
        """
        log = (settings.data_dir / "vllm.log").absolute()
        # The engine's process dies with the thread that started it, so this thread stays.
        owner = ThreadPoolExecutor(1, thread_name_prefix="vllm")
        timeout_s = SHUTDOWN_TIMEOUT_S
        try:
            llm = await _start(owner, settings, log)
            try:
                engine = cls(llm, settings.model)
                await engine._probe()
                await engine._learn_pictures()
                yield engine
            except EngineDead:
                timeout_s = 0
                raise
            finally:
                ending = owner.submit(_shut_down, llm, timeout_s)
                await asyncio.shield(asyncio.wrap_future(ending))
        finally:
            owner.shutdown(wait=False)  # Waiting would stop the event loop.

    @property
    def image_tokens(self) -> int:
        """Tokens that a placeholder adds to a prompt beyond itself; 0 without pictures."""
        return self._checkpoint.image_tokens

    def count(self, prompt_ids: tuple[int, ...], images: int) -> int:
        """Tokens of the expanded prompt."""
        return self._checkpoint.count(prompt_ids, images)

    async def ready(self) -> bool:
        """Whether the model answers now. An engine that was silent is made to generate a token."""
        if self._llm.errored:
            return False
        if time.monotonic() - self._outputs.spoke_at < FRESH_S:
            return True
        asked_at = time.monotonic()
        try:
            await asyncio.wait_for(self._probe(), PROBE_TIMEOUT_S)
        except EngineError:
            return False
        except TimeoutError:
            # The probe waits its turn; others were served.
            return self._outputs.spoke_at > asked_at
        return True

    def cpu_s(self) -> float:
        """CPU time that the engine's processes have used so far, in seconds."""
        from kosmosx_stream.engines import vllm_process  # noqa: PLC0415

        return vllm_process.cpu_s(self._llm)

    async def generate(self, request: Generate, deliver: Deliver) -> None:
        """Generate an answer; see the port.

        Images that vLLM has seen are sent by their key alone, and with their bytes if it has
        dropped them since.
        """
        from kosmosx_stream.engines import vllm_process  # noqa: PLC0415

        self._checkpoint.check(request)
        try:
            await self._answer(request, deliver, resend=False)
        except vllm_process.ImagesForgotten:
            await self._answer(request, deliver, resend=True)
        except EngineDead as error:
            raise EngineDead(vllm_process.how_it_died(self._llm)) from error

    async def _answer(self, request: Generate, deliver: Deliver, *, resend: bool) -> None:
        answer = await self._ask(request, resend=resend)
        try:
            await answer.take(deliver)
        except BaseException:  # A cancellation, too: nobody wants the rest.
            if not self._llm.errored:
                await self._llm.abort(answer.request_id, internal=True)
            raise

    async def _ask(self, request: Generate, *, resend: bool) -> "Answer":
        """Begin an answer.

        Raises:
            ImagesForgotten: vLLM needs the bytes of an image.
            EngineError: vLLM does not take it.
        """
        from kosmosx_stream.engines import vllm_process  # noqa: PLC0415

        # The key holds the salt too: an image that another tenant sent is not found.
        keys = [f"{image.image_id}-{request.cache_salt}" for image in request.images]
        absent = [resend or key not in self._known for key in keys]
        images: list[Image.Image | None] = [None] * len(keys)
        if any(absent):
            images = await asyncio.to_thread(_decode, request, absent, squared=self._squared)
        try:
            queue = await self._llm.add_request(
                request.request_id,
                vllm_process.prompt(request, keys, images),
                vllm_process.sampling_params(request, self._checkpoint.never),
            )
        except Exception as error:
            raise vllm_process.engine_error(error) from error
        self._remember(keys)
        answer: Answer = queue.output
        return answer

    def _remember(self, keys: list[str]) -> None:
        for key in keys:
            self._known[key] = None
        while len(self._known) > MAX_KNOWN_IMAGES:
            del self._known[next(iter(self._known))]

    async def _probe(self) -> None:
        """Generate one token.

        Raises:
            EngineError: it came to nothing.
        """
        await self.generate(picture_tokens.probe(self._checkpoint), lambda _: None)

    async def _learn_pictures(self) -> None:
        """Find out what a picture adds to a prompt, where the checkpoint's files do not tell.

        A model whose pictures cannot be prepared is served without them.
        """
        if not self._checkpoint.unpriced:
            return
        probes = picture_tokens.probes(self._checkpoint)
        try:
            learnt = picture_tokens.learnt(
                self._checkpoint, [await self._prompt_tokens(each) for each in probes]
            )
        except Exception as error:  # noqa: BLE001  # a processor of anybody's
            logger.warning("the model is served without pictures: %s", error.__cause__ or error)
            return
        self._squared = learnt.squared
        self._checkpoint = self._checkpoint.seeing(learnt.tokens)

    async def _prompt_tokens(self, request: Generate) -> int:
        """Have the prompt read; its length in tokens, pictures included."""
        from kosmosx_stream.engines import vllm_process  # noqa: PLC0415

        keys = [image.image_id for image in request.images]
        prompt = vllm_process.prompt(request, keys, [decode(image) for image in request.images])
        outputs = self._llm.generate(prompt, vllm_process.reading_params(), request.request_id)
        (tokens,) = [len(output.prompt_token_ids) async for output in outputs]
        return tokens


def _decode(request: Generate, wanted: list[bool], *, squared: bool) -> list[Image.Image | None]:
    """The wanted images, None for the others."""
    pairs = zip(request.images, wanted, strict=True)
    shown = [decode(image) if want else None for image, want in pairs]
    return [picture_tokens.square(each) if each and squared else each for each in shown]


async def _start(owner: ThreadPoolExecutor, settings: Settings, log: Path) -> Any:
    """Load the model, and give vLLM's client. When cancelled, what was started is ended first."""
    starting = asyncio.wrap_future(owner.submit(_start_blocking, settings, log))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        while not starting.done():
            _kill_engine()
            await asyncio.sleep(0.2)
        if starting.exception() is None:
            owner.submit(_shut_down, starting.result(), 0)
        raise


def _start_blocking(settings: Settings, log: Path) -> Any:
    config = engine_log.write_config(log)
    from kosmosx_stream.engines import vllm_outputs, vllm_process  # noqa: PLC0415

    try:
        llm = vllm_process.start(settings.model, settings.max_model_len, config)
    except RuntimeError as error:
        # vLLM's own words are "see root cause above", and its process says that elsewhere.
        raise RuntimeError(f"vLLM did not start; {log} says why") from error
    llm.output_processor = vllm_outputs.StepOutputs.in_place_of(
        llm.output_processor, settings.stream_interval_s
    )
    return llm


def _shut_down(llm: Any, timeout_s: float) -> None:
    llm.shutdown(timeout=timeout_s)
    # `AsyncLLM.__del__` shuts down again when the interpreter ends, and then fails loudly.
    llm.shutdown = lambda: None


def _kill_engine() -> None:
    for process in multiprocessing.active_children():
        if process.name.startswith("EngineCore"):
            process.kill()
