"""An engine that other processes use: what the link adds to the port."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from socket import socketpair

import pytest

from kosmosx_stream.engines import engine_host
from kosmosx_stream.engines.deterministic import DeterministicEngine
from kosmosx_stream.engines.engine_host import EngineHost
from kosmosx_stream.engines.engine_link import WINDOW
from kosmosx_stream.engines.hosted_engine import HostedEngine
from kosmosx_stream.engines.port import (
    Deliver,
    Delta,
    EngineDead,
    EngineError,
    Generate,
    deliver_all,
)
from tests.kosmosx_stream.engines.conformance import answer, ask, ids_of, streamed


class ScriptedEngine:
    """An engine that says a number after the other, and dies when it is told to."""

    max_model_len = 1000
    image_tokens = 64

    def __init__(self) -> None:
        self.said = 0
        self.requests: list[str] = []
        self.open = 0
        self.changed = asyncio.Condition()
        self.error: Exception | None = None

    def count(self, prompt_ids: tuple[int, ...], images: int) -> int:
        return len(prompt_ids) + images * self.image_tokens

    async def ready(self) -> bool:
        return self.error is None

    async def generate(self, request: Generate, deliver: Deliver) -> None:
        await deliver_all(self._answer(request), deliver)

    async def _answer(self, request: Generate) -> AsyncGenerator[Delta, None]:
        self.requests.append(request.request_id)
        await self._note(opened=1)
        try:
            for number in range(request.max_tokens - 1):
                if self.error is not None:
                    raise self.error
                await self._note(said=1)
                yield Delta((number,))
            yield Delta((request.max_tokens - 1,), "length", 3)
        finally:
            await asyncio.shield(self._note(opened=-1))

    async def _note(self, *, said: int = 0, opened: int = 0) -> None:
        async with self.changed:
            self.said += said
            self.open += opened
            self.changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(condition)


@contextlib.asynccontextmanager
async def using(host: EngineHost) -> AsyncIterator[HostedEngine]:
    wire, other_end = socketpair()
    await host.attach(wire)
    async with HostedEngine.running(other_end) as engine:
        yield engine


@pytest.fixture
async def scripted() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
async def host(scripted: ScriptedEngine) -> AsyncIterator[EngineHost]:
    host = EngineHost()
    async with host.offering(scripted):
        yield host


async def test_two_users_get_what_the_engine_says(
    deterministic_engine: DeterministicEngine,
) -> None:
    requests = [ask(3 + n, max_tokens=50) for n in range(8)]
    alone = [await answer(deterministic_engine, each) for each in requests]
    host = EngineHost()
    async with host.offering(deterministic_engine), using(host) as one, using(host) as two:
        asked = [answer((one, two)[n % 2], each) for n, each in enumerate(requests)]
        assert [ids_of(each) for each in await asyncio.gather(*asked)] == [*map(ids_of, alone)]


async def test_a_user_may_come_before_the_engine(scripted: ScriptedEngine) -> None:
    host = EngineHost()
    wire, other_end = socketpair()
    await host.attach(wire)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(_first_words(HostedEngine.running(other_end)))
        async with host.offering(scripted):
            assert await waiting == [0, 1, 2]


async def _first_words(running: contextlib.AbstractAsyncContextManager[HostedEngine]) -> list[int]:
    async with running as engine:
        assert (engine.max_model_len, engine.image_tokens) == (1000, 64)
        return ids_of(await answer(engine, ask(3, max_tokens=3)))


async def test_an_engine_runs_ahead_of_its_reader_by_a_window(
    host: EngineHost, scripted: ScriptedEngine
) -> None:
    async with using(host) as engine:
        slow = streamed(engine, ask(3, max_tokens=500))
        await anext(slow)
        await scripted.until(lambda: scripted.said == WINDOW)
        await answer(engine, ask(3, max_tokens=50))  # Time for more, if there was room.
        assert scripted.said == WINDOW + 49
        rest = [delta async for delta in slow]
        assert ids_of(rest) == list(range(1, 500))
        assert rest[-1] == Delta((499,), "length", 3)


async def test_what_nobody_wants_is_dropped(host: EngineHost, scripted: ScriptedEngine) -> None:
    async with using(host) as engine:
        stream = streamed(engine, ask(3, max_tokens=500))
        await anext(stream)
        await stream.aclose()
        await scripted.until(lambda: scripted.open == 0)
    async with using(host) as engine:
        stream = streamed(engine, ask(3, max_tokens=500))
        await anext(stream)
    await scripted.until(lambda: scripted.open == 0)  # The user is gone as a whole.
    with pytest.raises(EngineDead):
        async for _ in stream:  # What had come already.
            pass


async def test_a_death_is_known_before_the_answers_end(
    host: EngineHost, scripted: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or else who wants to go on would ask the dead engine again."""
    async with using(host) as engine:
        stream = streamed(engine, ask(3, max_tokens=500))
        await anext(stream)
        scripted.error = EngineDead("it was killed")
        with pytest.raises(EngineDead, match="it was killed"):
            async for _ in stream:
                pass
        assert not await engine.ready()
    scripted.error = None
    monkeypatch.setattr(engine_host, "POLL_S", 0)
    async with host.offering(scripted), using(host) as engine:
        assert await engine.ready()


async def test_an_error_of_one_answer_is_that_answer_s(
    host: EngineHost, scripted: ScriptedEngine
) -> None:
    async with using(host) as engine:
        scripted.error = RuntimeError("out of memory")
        with pytest.raises(EngineError, match="RuntimeError: out of memory") as raised:
            await answer(engine, ask(3))
        assert not isinstance(raised.value, EngineDead)
        scripted.error = None
        assert len(await answer(engine, ask(3, max_tokens=5))) == 5


async def test_two_users_may_ask_by_the_same_name(
    host: EngineHost, scripted: ScriptedEngine
) -> None:
    """A worker that is frozen still asks for what another one has taken over."""
    request = ask(3, max_tokens=20)
    async with using(host) as one, using(host) as two:
        await asyncio.gather(answer(one, request), answer(two, request))
    assert len(set(scripted.requests)) == 2
