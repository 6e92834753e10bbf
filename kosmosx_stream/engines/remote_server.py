"""One vLLM server, by its URL: whether it can be used, and answers from it.

A server is used once it has shown that it serves the checkpoint, until it stops answering; then it
has to show it anew. Nothing that was asked is asked again here once a token may have come.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from collections.abc import Set as AbstractSet
from http import HTTPStatus

import aiohttp
import msgspec

from kosmosx_stream.engines import vllm_http
from kosmosx_stream.engines.checkpoint import Checkpoint
from kosmosx_stream.engines.lifeline import Lifeline
from kosmosx_stream.engines.picture_tokens import PictureTokens, learnt, probe, probes
from kosmosx_stream.engines.port import Delta, EngineDead, EngineError, Generate
from kosmosx_stream.engines.vllm_http import Event, Failure, ImagesForgotten

logger = logging.getLogger(__name__)

POLL_S = 1.0
"""How often a server is asked whether it is well."""
ANSWER_S = 1.0
"""It has so long to say so."""
PATIENCE_POLLS = 2
"""A server that did not say so for so many times in a row hangs: it is lost within 4 s."""
JOIN_TIMEOUT_S = 60.0
"""On a CPU the prompts before the first one of ours may take so long."""
STALL_POLLS = 60
"""A server that owes tokens and sends none for so many polls hangs behind its front."""
MAX_LIVE = 1024
"""Answers, and connections, that one server has at a time; others wait."""
MAX_KNOWN_IMAGES = 4096
MAX_REFUSAL_BYTES = 65536
JSON = {"Content-Type": "application/json"}


class RemoteServer:
    """A vLLM server that runs our plugin."""

    def __init__(
        self,
        url: str,
        http: aiohttp.ClientSession,
        checkpoint: Checkpoint,
        on_joined: Callable[["RemoteServer"], None],
    ) -> None:
        self.url = url
        self.live = 0
        """Answers that are asked for at the moment."""
        self._http = http
        self._checkpoint = checkpoint
        self._on_joined = on_joined
        self.pictures: PictureTokens | None = None
        """What pictures cost there, where the checkpoint does not tell; known once it is joined."""
        self._life: Lifeline | None = None
        self._slots = asyncio.Semaphore(MAX_LIVE)
        self._known: dict[str, None] = {}  # keys of images that the server was sent, oldest first
        self._spoke = False

    @property
    def joined(self) -> bool:
        """Whether the server can be used, as far as is known; nothing is asked of it for this."""
        return self._life is not None and self._life.lost is None

    async def keep(self) -> None:
        """Find out when the server can be used and when not; until cancelled."""
        complaint = ""
        while True:
            try:
                life = await self._join()
                complaint = ""
                await self._watch(life)
                logger.error("%s is lost: %s", self.url, life.lost)
            except EngineError as error:
                if str(error) != complaint:
                    complaint = str(error)
                    logger.warning("%s is not used: %s", self.url, complaint)
            except Exception:
                logger.exception("%s could not be watched", self.url)
                self.leave()
            await asyncio.sleep(POLL_S)

    def leave(self) -> None:
        """Use it no more; what it was saying ends."""
        if self._life is not None:
            self._life.lose("it is no longer used")

    async def answer(self, request: Generate) -> AsyncGenerator[Delta, None]:
        """Stream an answer; see the port.

        Images that the server has seen are sent by their key alone, and with their bytes if it
        has dropped them since.
        """
        if self._life is None:
            raise EngineDead(f"{self.url} was not reached yet")
        life = self._life
        with life.hold():
            await self._slots.acquire()
        self.live += 1
        keys = {vllm_http.image_key(request, image) for image in request.images}
        try:
            for by_key in (keys & self._known.keys(), frozenset[str]()):
                with contextlib.suppress(ImagesForgotten):
                    async with contextlib.aclosing(self._deltas(life, request, by_key)) as deltas:
                        async for delta in deltas:
                            self._spoke = True
                            self._remember(keys)
                            yield delta
                    return
        finally:
            self.live -= 1
            self._slots.release()

    async def _deltas(
        self, life: Lifeline, request: Generate, by_key: AbstractSet[str]
    ) -> AsyncGenerator[Delta, None]:
        last: Delta | None = None
        cached_tokens = 0
        spoke = False
        never = self._checkpoint.seeing(self.pictures.tokens).never if self.pictures else None
        said = vllm_http.body(request, by_key=by_key, never=never)
        async with contextlib.aclosing(self._events(life, said)) as events:
            async for event in events:
                if isinstance(event, Failure):
                    if event.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                        await self._ask_health(life)
                        life.check()
                    raise vllm_http.engine_error(event, by_key_alone=bool(by_key) and not spoke)
                if event.usage is not None:
                    cached_tokens = event.usage.cached_tokens or 0
                for choice in event.choices:
                    spoke = True
                    delta = vllm_http.delta(choice)
                    if delta.finish_reason is None:
                        yield delta
                    else:
                        last = delta  # how much was cached comes behind it
        if last is None:
            raise EngineDead(f"{self.url} broke off")
        yield msgspec.structs.replace(last, cached_tokens=cached_tokens)

    async def _events(self, life: Lifeline, said: bytes) -> AsyncGenerator[Event | Failure, None]:
        """What the server sends, to the end of its answer; leaving early makes it stop.

        Raises:
            EngineDead: the server cannot be reached, or the connection broke.
        """
        try:
            with life.hold():
                response = await self._http.post(
                    self.url + vllm_http.GENERATE, data=said, headers=JSON
                )
            try:
                if response.status != HTTPStatus.OK:
                    with life.hold():
                        reason = await response.content.read(MAX_REFUSAL_BYTES)
                    yield vllm_http.refusal(response.status, reason)
                    return
                while True:
                    with life.hold():
                        line = await response.content.readline()
                    if not line:
                        return
                    if (event := vllm_http.event(line)) is not None:
                        yield event
            finally:
                response.close()  # gives the connection back if the answer was read to its end
        except aiohttp.ClientError as error:
            await self._ask_health(life)
            raise EngineDead(f"{self.url}: {reason_of(error)}") from error
        except ValueError as error:  # a line without end
            raise EngineError(f"the server's answer is not vLLM's: {error}") from error

    def _remember(self, keys: AbstractSet[str]) -> None:
        self._known.update(dict.fromkeys(keys))
        while len(self._known) > MAX_KNOWN_IMAGES:
            del self._known[next(iter(self._known))]

    async def _join(self) -> Lifeline:
        """Have the server show that it serves the checkpoint.

        Raises:
            EngineError: it does not, or not as it has to.
        """
        life = Lifeline()
        self._known = {}
        try:
            async with asyncio.timeout(JOIN_TIMEOUT_S):
                await self._check_window()
                await self._check_prompt(life)
                self.pictures = await self._learn_pictures(life)
        except aiohttp.ClientError as error:
            raise EngineDead(reason_of(error)) from error
        except TimeoutError as error:
            raise EngineDead(f"it did not answer within {JOIN_TIMEOUT_S:.0f} s") from error
        self._life = life
        logger.info("%s is used", self.url)
        self._on_joined(self)
        return life

    async def _check_window(self) -> None:
        async with self._http.get(self.url + vllm_http.MODELS) as response:
            answer = await response.content.read(MAX_REFUSAL_BYTES)
            if response.status != HTTPStatus.OK:
                raise EngineError(vllm_http.refusal(response.status, answer).message)
        served = vllm_http.served_window(answer)
        wanted = self._checkpoint.max_model_len
        if served < wanted:
            raise EngineError(
                f"it serves {served} tokens of context and the checkpoint takes {wanted}; start it "
                f"with --max-model-len {wanted}{self._override()}, or this server with "
                f"KOSMOSX_MAX_MODEL_LEN={served}"
            )

    def _override(self) -> str:
        """What vLLM has to be told, too, to have a window that the model was not made for."""
        if not self._checkpoint.widened:
            return ""
        overrides = msgspec.json.encode(self._checkpoint.config_overrides).decode()
        return f" --hf-overrides '{overrides}'"

    async def _check_prompt(self, life: Lifeline) -> None:
        """Have a prompt read that holds an image if the model takes any; see how it is expanded."""
        size = (16, 16) if self._checkpoint.image_tokens else None
        request = probe(self._checkpoint, size)
        expanded, tells_cached = await self._prompt_tokens(life, request)
        wanted = self._checkpoint.count(request.prompt_ids, len(request.images))
        if expanded != wanted:
            raise EngineError(
                f"it makes {expanded} tokens of a prompt that has {wanted} in the checkpoint here; "
                f"is it another checkpoint?"
            )
        if not tells_cached:
            logger.warning(
                "%s does not tell which tokens were cached: start it with "
                "--enable-prompt-tokens-details",
                self.url,
            )

    async def _learn_pictures(self, life: Lifeline) -> PictureTokens | None:
        """What a picture adds to a prompt, if the checkpoint's files do not tell."""
        if not self._checkpoint.unpriced:
            return None
        try:
            lengths = [
                (await self._prompt_tokens(life, each))[0] for each in probes(self._checkpoint)
            ]
        except EngineError as error:
            logger.warning("%s takes no pictures: %s", self.url, error)
            return None
        return learnt(self._checkpoint, lengths)

    async def _prompt_tokens(self, life: Lifeline, request: Generate) -> tuple[int, bool]:
        """Have the prompt read; its length in tokens, and whether it tells what was cached."""
        expanded = 0
        tells_cached = False
        said = vllm_http.body(request, return_prompt=True)
        async with contextlib.aclosing(self._events(life, said)) as events:
            async for event in events:
                if isinstance(event, Failure):
                    raise EngineError(event.message)
                if event.prompt_token_ids is not None:
                    expanded = len(event.prompt_token_ids)
                if event.usage is not None:
                    tells_cached = event.usage.cached_tokens is not None
        return expanded, tells_cached

    async def _watch(self, life: Lifeline) -> None:
        """Return when the server is lost.

        Patience is counted in polls, not in seconds: if this process was stopped or starved, the
        server is not to blame for the time.
        """
        unanswered = still = 0
        while life.lost is None:
            await asyncio.sleep(POLL_S)
            unanswered = 0 if await self._ask_health(life) else unanswered + 1
            still = still + 1 if life.waited_for and not self._spoke else 0
            self._spoke = False
            if unanswered >= PATIENCE_POLLS:
                life.lose("it no longer answers")
            if still >= STALL_POLLS:
                life.lose(f"no token in {STALL_POLLS * POLL_S:.0f} s, though it was asked to")

    async def _ask_health(self, life: Lifeline) -> bool:
        """Whether the server answered in time; if it is not well or not there, it is lost."""
        try:
            async with (
                asyncio.timeout(ANSWER_S),
                self._http.get(self.url + vllm_http.HEALTH) as response,
            ):
                if response.status != HTTPStatus.OK:
                    life.lose(f"it says that it is not well (HTTP status {response.status})")
        except TimeoutError:
            return False
        except aiohttp.ClientError as error:
            life.lose(reason_of(error))
        return True


def reason_of(error: aiohttp.ClientError) -> str:
    """In words; some errors have none of their own."""
    return str(error) or type(error).__name__
