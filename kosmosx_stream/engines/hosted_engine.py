"""The engine of another process of this machine as the engine of this server, over a link.

So that several serving processes share one engine: token ids come and go, nothing is computed here.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator, AsyncIterator
from socket import socket
from typing import Self

from kosmosx_stream.engines.engine_link import (
    TAKEN_AT_ONCE,
    Ask,
    Drop,
    Failed,
    FromHost,
    Hello,
    Link,
    Standing,
    Step,
    Taken,
)
from kosmosx_stream.engines.port import (
    Deliver,
    Delta,
    EngineDead,
    EngineError,
    EngineRefused,
    Generate,
    deliver_all,
)

_ERRORS = {"refused": EngineRefused, "dead": EngineDead, "error": EngineError}
_GONE = "the engine's process is gone"

Answer = asyncio.Queue[Step | Failed]
"""What has come of an answer, and was not taken yet; at most the link's window."""


class HostedEngine:
    """The `Engine` port on an `EngineHost`."""

    def __init__(self) -> None:
        self._link: Link
        self._hello: asyncio.Future[Hello] = asyncio.get_running_loop().create_future()
        self._ready = False
        self._gone = False
        self._numbers = itertools.count()
        self._answers: dict[int, Answer] = {}
        self.max_model_len = 0
        self.image_tokens = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, wire: socket) -> AsyncIterator[Self]:
        """Wait until the engine is loaded; on leaving, live answers fail.

        Raises:
            EngineDead: its process ended before that.
        """
        engine = cls()
        engine._link = await Link.connect(wire, FromHost, engine._hear, engine._lost)
        try:
            hello = await engine._hello
            engine.max_model_len, engine.image_tokens = hello.max_model_len, hello.image_tokens
            yield engine
        finally:
            engine._lost()
            engine._link.close()

    def count(self, prompt_ids: tuple[int, ...], images: int) -> int:
        """Tokens of the expanded prompt."""
        return len(prompt_ids) + images * self.image_tokens

    async def ready(self) -> bool:
        """Whether the engine answers, as its process told last; nothing is asked for this."""
        return self._ready

    async def generate(self, request: Generate, deliver: Deliver) -> None:
        """Generate an answer; see the port."""
        await deliver_all(self._answer(request), deliver)

    async def _answer(self, request: Generate) -> AsyncGenerator[Delta, None]:
        if self._gone:
            raise EngineDead(_GONE)
        number = next(self._numbers)
        answer = self._answers[number] = Answer()
        self._link.say(Ask(number, request))
        ended = False
        taken = 0
        try:
            while not ended:
                match await answer.get():
                    case Failed(_, how, reason):
                        ended = True
                        raise _ERRORS[how](reason)
                    case Step(_, token_ids, finish_reason, cached_tokens):
                        ended = finish_reason is not None
                        yield Delta(token_ids, finish_reason, cached_tokens)
                taken += 1
                if taken % TAKEN_AT_ONCE == 0 and not ended:
                    self._link.say(Taken(number, TAKEN_AT_ONCE))
        finally:
            del self._answers[number]
            if not ended:
                self._link.say(Drop(number))

    def _hear(self, message: Hello | Standing | Step | Failed) -> None:
        match message:
            case Step(number) | Failed(number):
                # One that was dropped may have been under way.
                if (answer := self._answers.get(number)) is not None:
                    answer.put_nowait(message)
            case Standing(ready):
                self._ready = ready
            case Hello():
                if not self._hello.done():
                    self._hello.set_result(message)

    def _lost(self) -> None:
        self._ready, self._gone = False, True
        if not self._hello.done():
            self._hello.set_exception(EngineDead(_GONE))
        for number, answer in self._answers.items():
            answer.put_nowait(Failed(number, "dead", _GONE))
