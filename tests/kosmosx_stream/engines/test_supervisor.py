"""An engine that dies, hangs or does not start, and another in its place."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field

import httpx
import psutil
import pytest

from conversation.entries import Sampling
from kosmosx_stream.engines import supervisor
from kosmosx_stream.engines.port import (
    Deliver,
    Delta,
    EngineDead,
    EngineRefused,
    Generate,
    deliver_all,
)
from kosmosx_stream.engines.supervisor import TICK_S, Supervisor, Time
from tests.kosmosx_stream.clients import MODEL, client, message
from tests.kosmosx_stream.engines.conformance import streamed
from tests.server_process import ServerProcess

REQUEST = Generate(
    request_id="r",
    prompt_ids=(0, 5),
    images=(),
    sampling=Sampling(),
    max_tokens=9,
    cache_salt="",
)


class FakeTime:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self.drawn: list[tuple[float, float]] = []

    async def sleep(self, delay_s: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now + delay_s, woken))
        await woken

    def uniform(self, least: float, most: float) -> float:
        self.drawn.append((least, most))
        return most

    async def advance(self, seconds: float) -> None:
        """To the end of the last sleep that ends by then, in steps of a tick at most."""
        end = self.now + seconds
        await settle()
        while self.now < end:
            self.now = min(end, self.now + TICK_S)
            for due, woken in list(self._sleepers):
                if due <= self.now and not woken.done():
                    woken.set_result(None)
            self._sleepers = [entry for entry in self._sleepers if not entry[1].done()]
            await settle()

    def timing(self) -> Time:
        return Time(sleep=self.sleep, monotonic=lambda: self.now, uniform=self.uniform)


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(30):
        await asyncio.sleep(0)


@dataclass
class Script:
    """What the engines of a test do, and what became of them."""

    start_failures: int = 0
    end_hangs: bool = False
    started: list["ScriptedEngine"] = field(default_factory=list)
    ended_with: list[BaseException | None] = field(default_factory=list)

    @property
    def engine(self) -> "ScriptedEngine":
        return self.started[-1]

    @contextlib.asynccontextmanager
    async def factory(self) -> AsyncIterator["ScriptedEngine"]:
        if self.start_failures:
            self.start_failures -= 1
            raise RuntimeError("no memory")
        self.started.append(ScriptedEngine(100 * len(self.started)))
        try:
            yield self.engine
        except BaseException as error:
            self.ended_with.append(error)
            raise
        else:
            self.ended_with.append(None)
        finally:
            if self.end_hangs:
                await asyncio.Event().wait()


class ScriptedEngine:
    """Says what is put into `deltas`; `healthy` and `going` say how it is."""

    def __init__(self, first_id: int) -> None:
        self.max_model_len = 1000 + first_id
        self.image_tokens = 4
        self.deltas: asyncio.Queue[Delta | Exception] = asyncio.Queue()
        self.closed = 0
        self.asked = 0
        self.healthy = True
        self.going = asyncio.Event()
        self.going.set()
        self.used_s = 0.0
        self.work_s = 0.0
        """CPU time that each look at it finds on top."""

    def count(self, prompt_ids: tuple[int, ...], images: int) -> int:
        return len(prompt_ids) + images * self.image_tokens

    async def ready(self) -> bool:
        self.asked += 1
        await self.going.wait()
        return self.healthy

    def cpu_s(self) -> float:
        self.used_s += self.work_s
        return self.used_s

    async def generate(self, request: Generate, deliver: Deliver) -> None:
        try:
            await deliver_all(self._answer(), deliver)
        finally:
            self.closed += 1

    async def _answer(self) -> AsyncGenerator[Delta, None]:
        while True:
            said = await self.deltas.get()
            if isinstance(said, Exception):
                raise said
            yield said
            if said.finish_reason:
                return


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def clock() -> FakeTime:
    return FakeTime()


@pytest.fixture
async def engine(script: Script, clock: FakeTime) -> AsyncIterator[Supervisor]:
    async with Supervisor.running(script.factory, clock.timing()) as engine:
        yield engine


async def read(engine: Supervisor) -> list[int]:
    async with contextlib.aclosing(streamed(engine, REQUEST)) as deltas:
        return [token async for delta in deltas for token in delta.token_ids]


async def test_answers_pass_through(engine: Supervisor, script: Script) -> None:
    script.engine.deltas.put_nowait(Delta((1, 2)))
    script.engine.deltas.put_nowait(Delta((3,), "stop"))
    assert await read(engine) == [1, 2, 3]
    assert (engine.max_model_len, engine.image_tokens, engine.count((0, 1), 2)) == (1000, 4, 10)
    assert await engine.ready()


async def test_a_refusal_costs_no_engine(
    engine: Supervisor, script: Script, clock: FakeTime
) -> None:
    script.engine.deltas.put_nowait(EngineRefused("too long"))
    with pytest.raises(EngineRefused):
        await read(engine)
    await clock.advance(60)
    assert len(script.started) == 1


async def test_a_death_ends_all_and_another_engine_starts(
    engine: Supervisor, script: Script, clock: FakeTime
) -> None:
    first = script.engine
    readers = [asyncio.create_task(read(engine)) for _ in range(3)]
    await settle()
    first.deltas.put_nowait(EngineDead("killed"))
    done = await asyncio.gather(*readers, return_exceptions=True)
    assert all(isinstance(result, EngineDead) for result in done)
    assert first.closed == 3
    assert not await engine.ready()
    with pytest.raises(EngineDead):
        await read(engine)
    assert engine.count((0,), 1) == 5
    await clock.advance(2)
    assert await engine.ready()
    assert [type(error) for error in script.ended_with] == [EngineDead]
    assert engine.max_model_len == 1100
    script.engine.deltas.put_nowait(Delta((7,), "stop"))
    assert await read(engine) == [7]


async def test_a_death_is_noticed_though_nobody_asks(
    engine: Supervisor, script: Script, clock: FakeTime
) -> None:
    script.engine.healthy = False
    await clock.advance(1)
    assert not await engine.ready()
    await clock.advance(2)
    assert len(script.started) == 2


async def test_a_hang_ends_all_within_five_seconds(
    engine: Supervisor, script: Script, clock: FakeTime
) -> None:
    first = script.engine
    reader = asyncio.create_task(read(engine))
    await settle()
    first.deltas.put_nowait(Delta((1,)))
    await clock.advance(10)
    assert await engine.ready()
    first.going.clear()
    await clock.advance(supervisor.PATIENCE_TICKS * TICK_S - TICK_S)
    assert await engine.ready()
    await clock.advance(2 * TICK_S)
    assert not await engine.ready()
    with pytest.raises(EngineDead):
        await reader
    assert first.closed == 1
    await clock.advance(2)
    assert await engine.ready()
    assert [type(error) for error in script.ended_with] == [EngineDead]


async def test_a_reader_that_is_busy_is_not_interrupted(
    engine: Supervisor, script: Script, clock: FakeTime
) -> None:
    deltas = streamed(engine, REQUEST)
    script.engine.deltas.put_nowait(Delta((1,)))
    assert await anext(deltas) == Delta((1,))
    script.engine.healthy = False
    await clock.advance(3 * TICK_S)
    with pytest.raises(EngineDead):
        await anext(deltas)


async def test_a_stream_that_goes_on_is_no_hang(
    engine: Supervisor, script: Script, clock: FakeTime
) -> None:
    script.engine.going.clear()
    reader = asyncio.create_task(read(engine))
    for _ in range(20):
        script.engine.deltas.put_nowait(Delta((1,)))
        await clock.advance(2)
    script.engine.deltas.put_nowait(Delta((1,), "stop"))
    assert len(await reader) == 21
    assert len(script.started) == 1


async def test_a_long_prompt_is_no_hang(
    engine: Supervisor, script: Script, clock: FakeTime
) -> None:
    script.engine.going.clear()
    script.engine.work_s = 0.3 * TICK_S
    await clock.advance(100)
    assert await engine.ready()
    script.engine.work_s = 0.01 * TICK_S
    await clock.advance(supervisor.PATIENCE_TICKS * TICK_S)
    assert not await engine.ready()


async def test_one_question_at_a_time(engine: Supervisor, script: Script, clock: FakeTime) -> None:
    await clock.advance(5 * TICK_S)
    assert script.engine.asked == 5
    script.engine.going.clear()
    script.engine.work_s = TICK_S
    await clock.advance(5 * TICK_S)
    assert script.engine.asked == 6


async def test_a_pause_of_the_whole_machine_is_no_hang(
    engine: Supervisor, script: Script, clock: FakeTime
) -> None:
    await clock.advance(TICK_S)
    script.engine.going.clear()
    clock.now += 3600
    await clock.advance(2 * TICK_S)
    assert await engine.ready()
    script.engine.going.set()
    await clock.advance(10)
    assert len(script.started) == 1


async def test_pauses_grow_and_have_an_end(
    engine: Supervisor, script: Script, clock: FakeTime
) -> None:
    script.start_failures = 7
    script.engine.healthy = False
    await clock.advance(200)
    assert await engine.ready()
    assert clock.drawn == [
        (0.5, 1), (1, 2), (2, 4), (4, 8), (8, 16), (15, 30), (15, 30), (15, 30),
    ]  # fmt: skip


async def test_pauses_begin_anew_when_an_engine_was_well(
    engine: Supervisor, script: Script, clock: FakeTime
) -> None:
    for lifetime_s in (1, 1, supervisor.HEALTHY_S):
        await clock.advance(lifetime_s)
        script.engine.healthy = False
        await clock.advance(6)
        assert await engine.ready()
    assert clock.drawn == [(0.5, 1), (1, 2), (0.5, 1)]


async def test_the_first_start_fails(script: Script, clock: FakeTime) -> None:
    script.start_failures = 1
    with pytest.raises(RuntimeError, match="no memory"):
        async with Supervisor.running(script.factory, clock.timing()):
            pytest.fail("there is no engine")


async def test_an_engine_that_does_not_end_is_left_behind(
    script: Script, clock: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "END_TIMEOUT_S", 0.01)
    async with Supervisor.running(script.factory, clock.timing()) as engine:
        script.end_hangs = True
        script.engine.healthy = False
        async with asyncio.timeout(10):
            while len(script.started) < 2:
                await clock.advance(TICK_S)
        assert await engine.ready()


async def test_cancelling_a_reader_closes_its_generator(
    engine: Supervisor, script: Script, clock: FakeTime
) -> None:
    reader = asyncio.create_task(read(engine))
    await settle()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert script.engine.closed == 1
    await clock.advance(10)
    assert len(script.started) == 1


@pytest.mark.parametrize("moment", ["running", "lost", "pausing"])
async def test_leaving_ends_the_engine_once(script: Script, clock: FakeTime, moment: str) -> None:
    async with Supervisor.running(script.factory, clock.timing()):
        script.start_failures = 0 if moment == "running" else 99
        script.engine.healthy = moment == "running"
        await clock.advance({"running": 5, "lost": 0, "pausing": 5}[moment])
    assert len(script.ended_with) == 1


# -- the real thing ----------------------------------------------------------------------------


def engine_process(server: ServerProcess) -> psutil.Process:
    children = psutil.Process(server.pid).children(recursive=True)
    (process,) = [child for child in children if "EngineCore" in child.name()]
    return process


def wait_for(condition: Callable[[], bool], timeout_s: float) -> None:
    """What is waited for happens in another process."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# One that hangs is killed in the end, so its test sees a death, too.
KILLED = pytest.param(signal.SIGKILL, marks=pytest.mark.slow)


@pytest.mark.parametrize("how", [KILLED, signal.SIGSTOP])
def test_an_engine_that_is_lost_is_replaced(server: ServerProcess, how: signal.Signals) -> None:
    def ready() -> bool:
        url = f"{server.base_url}/health/ready"
        return httpx.get(url, timeout=30).status_code == 200

    victim = engine_process(server)
    os.kill(victim.pid, how)
    wait_for(lambda: not ready(), 10)  # 5 s, and as much again for a machine that is busy
    wait_for(ready, 300)
    assert not victim.is_running() or victim.status() == psutil.STATUS_ZOMBIE
    answer = client(server).responses.create(model=MODEL, input=[message("Hello!")])
    assert answer.status in ("completed", "incomplete")
