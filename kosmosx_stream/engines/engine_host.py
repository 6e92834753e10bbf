"""Lets other processes of this machine use one engine: answers what they ask over their links.

A user that is gone wants nothing any more: what it had asked for is dropped at once. Knows neither
turns nor what kind of engine it is.
"""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator, Coroutine
from socket import socket

import msgspec

from kosmosx_stream.cancelling import meanwhile
from kosmosx_stream.engines.engine_link import (
    WINDOW,
    Ask,
    Drop,
    Failed,
    FromUser,
    Hello,
    Link,
    Standing,
    Step,
    Taken,
)
from kosmosx_stream.engines.port import (
    Delta,
    Engine,
    EngineDead,
    EngineError,
    EngineRefused,
    Generate,
)

logger = logging.getLogger(__name__)

POLL_S = 0.25
"""How often the engine's standing is looked at; a death is told with the answers that it ends."""


class EngineHost:
    """One engine, and whoever uses it. Users may come before the engine is loaded."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._users: set[_User] = set()
        self._ready = False
        self._numbers = itertools.count(1)

    async def attach(self, wire: socket) -> None:
        """Let the process at the wire's other end use the engine, until it hangs up."""
        user = _User(self, next(self._numbers))
        await user.connect(wire)
        self._users.add(user)
        if self._engine is not None:
            user.greet(self._engine, ready=self._ready)

    @contextlib.asynccontextmanager
    async def offering(self, engine: Engine) -> AsyncIterator[None]:
        """Take questions for this engine; on leaving, all users are hung up on."""
        self._engine, self._ready = engine, await engine.ready()
        for user in self._users:
            user.greet(engine, ready=self._ready)
        try:
            async with meanwhile(self._poll(engine)):
                yield
        finally:
            for user in list(self._users):
                user.hang_up()

    def forget(self, user: "_User") -> None:
        """It has hung up."""
        self._users.discard(user)

    async def look(self, engine: Engine) -> None:
        """Tell all users how the engine is, if that has changed."""
        ready = await engine.ready()
        if ready != self._ready:
            self._ready = ready
            for user in self._users:
                user.tell(ready=ready)

    async def _poll(self, engine: Engine) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            await self.look(engine)


class _User:
    """A process that uses the engine."""

    def __init__(self, host: EngineHost, number: int) -> None:
        self._host = host
        self._number = number
        self._link: Link
        self._engine: Engine
        self._answers: dict[int, _Answer] = {}

    async def connect(self, wire: socket) -> None:
        self._link = await Link.connect(wire, FromUser, self._hear, self._lost)

    def greet(self, engine: Engine, *, ready: bool) -> None:
        self._engine = engine
        self._link.say(Hello(engine.max_model_len, engine.image_tokens))
        self.tell(ready=ready)

    def tell(self, *, ready: bool) -> None:
        self._link.say(Standing(ready))

    def hang_up(self) -> None:
        self._link.close()

    def _hear(self, message: Ask | Taken | Drop) -> None:
        match message:
            case Ask(number, request):
                # Two users may go on with one answer, where one does not know yet that it lost it.
                request = msgspec.structs.replace(
                    request, request_id=f"{self._number}-{request.request_id}"
                )
                answer = self._answers[number] = _Answer(self._answer(number, request))
                answer.task.add_done_callback(lambda _: self._answers.pop(number))
            case Taken(number, deltas) if number in self._answers:
                self._answers[number].take(deltas)
            case Drop(number) if number in self._answers:
                self._answers[number].task.cancel()
            case _:
                pass  # It has ended meanwhile.

    def _lost(self) -> None:
        self._host.forget(self)
        for answer in self._answers.values():
            answer.task.cancel()

    async def _answer(self, number: int, request: Generate) -> None:
        try:
            await self._generate(number, request)
        except EngineDead as error:
            # First that it is dead: who asks again before would find another death.
            await self._host.look(self._engine)
            self._link.say(Failed(number, "dead", str(error)))
        except EngineRefused as error:
            self._link.say(Failed(number, "refused", str(error)))
        except EngineError as error:
            self._link.say(Failed(number, "error", str(error)))
        except Exception as error:
            logger.exception("request %s failed", request.request_id)
            self._link.say(Failed(number, "error", f"{type(error).__name__}: {error}"))

    async def _generate(self, number: int, request: Generate) -> None:
        say, sent = self._link.say, self._answers[number].sent

        def deliver(delta: Delta) -> asyncio.Future[None] | None:
            say(Step(number, delta.token_ids, delta.finish_reason, delta.cached_tokens))
            return sent()

        await self._engine.generate(request, deliver)


class _Answer:
    """An answer under way, and how far it may go."""

    def __init__(self, generating: Coroutine[None, None, None]) -> None:
        self.task = asyncio.create_task(generating)
        self._ahead = 0
        self._room: asyncio.Future[None] | None = None

    def sent(self) -> asyncio.Future[None] | None:
        """A delta was sent; what to wait for before the next one."""
        self._ahead += 1
        if self._ahead < WINDOW:
            return None
        self._room = asyncio.get_running_loop().create_future()
        return self._room

    def take(self, deltas: int) -> None:
        """So many of those that were sent were made use of."""
        self._ahead -= deltas
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
