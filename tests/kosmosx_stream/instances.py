"""Instances over one log in memory, with an engine whose tokens are known."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from msgspec.structs import replace

from conversation.entries import Entry, Price, Sampling, Started, unpack
from conversation.items import Message
from conversation.memory_attendance import MemoryAttendance
from conversation.memory_history import MemoryHistory
from conversation.memory_log import MemoryEventLog
from kosmosx_stream.engines.port import Deliver, Delta, EngineDead, Generate, deliver_all
from kosmosx_stream.formats.chat_format import Released
from kosmosx_stream.limits.spending import Spending
from kosmosx_stream.protocol.counting import CostFn
from kosmosx_stream.protocol.fold import Projection
from kosmosx_stream.protocol.frames import Event
from kosmosx_stream.settings import Settings
from kosmosx_stream.telemetry.telemetry import Telemetry
from kosmosx_stream.turns.hub import Hub
from kosmosx_stream.turns.live_response import LiveResponse
from kosmosx_stream.turns.models import Model
from kosmosx_stream.turns.response_log import ResponseLog
from kosmosx_stream.turns.runner import Runner
from kosmosx_stream.turns.sweeper import Sweeper
from metering.authenticator import Principal
from metering.store import Store

LENGTH = 12
STEP = 4
"""Turns of the loop that a token takes: longer than a commit into memory, as with real engines."""
END = 0
PROMPT = (7, 8, 9)
PRINCIPAL = Principal("acct", "")


def answer() -> tuple[int, ...]:
    """What the engine says to PROMPT when nothing disturbs it."""
    return (*range(100, 100 + LENGTH - 1), END)


class Letters:
    """A decoder that shows a letter for every id but the end."""

    def feed(self, token_ids: Sequence[int]) -> Released:
        return Released("".join(chr(token) for token in token_ids if token != END))

    def finish(self) -> Released:
        return Released()


class Format:
    """A chat format of which only the answer's side is used."""

    sees = grounds = False
    tokens = "letters"

    def opening(self, instructions: str | None) -> tuple[int, ...]:
        raise AssertionError(instructions)

    def segment(self, messages: Sequence[Message], *, grounding: bool) -> tuple[int, ...]:
        raise AssertionError(messages, grounding)

    def ended(self, answer_ids: Sequence[int]) -> bool:
        return bool(answer_ids) and answer_ids[-1] == END

    def closing(self, answer_ids: Sequence[int]) -> tuple[int, ...]:
        return () if self.ended(answer_ids) else (END,)

    def decoder(self) -> Letters:
        return Letters()


class Engine:
    """Token n of the answer to PROMPT is a function of n alone.

    It stops before the tokens in `stalls` until `go` is set, and dies before those in `deaths`.
    """

    max_model_len = 64
    image_tokens = 0

    def __init__(self, *, stalls: Sequence[int] = (), deaths: Sequence[int] = ()) -> None:
        self.stalls = set(stalls)
        self.deaths = list(deaths)
        self.go = asyncio.Event()
        self.stalled = asyncio.Event()
        self.requests: list[Generate] = []
        self.closed = False

    def count(self, prompt_ids: tuple[int, ...], images: int) -> int:
        return len(prompt_ids) + images

    async def ready(self) -> bool:
        return True

    async def generate(self, request: Generate, deliver: Deliver) -> None:
        self.requests.append(request)
        try:
            await deliver_all(self._answer(request), deliver)
        finally:
            self.closed = True

    async def _answer(self, request: Generate) -> AsyncGenerator[Delta, None]:
        assert request.prompt_ids[: len(PROMPT)] == PROMPT
        answered = request.prompt_ids[len(PROMPT) :]
        assert answered == answer()[: len(answered)]
        for position in range(len(answered), len(answered) + request.max_tokens):
            if position in self.deaths:
                self.deaths.remove(position)
                raise EngineDead
            if position in self.stalls:
                self.stalled.set()
                await self.go.wait()
            for _ in range(STEP):
                await asyncio.sleep(0)
            token = answer()[position]
            last = position + 1 == len(answered) + request.max_tokens
            finish = "stop" if token == END else "length" if last else None
            yield Delta((token,), finish)
            if finish:
                return


class Watched(MemoryAttendance):
    """Tells when it was asked whether somebody else attends."""

    def __init__(self, notes: dict[str, tuple[str, float]], instance: str) -> None:
        super().__init__(notes, instance, clock=asyncio.get_running_loop().time)
        self.asked = asyncio.Event()

    async def elsewhere(self, name: str) -> bool:
        self.asked.set()
        return await super().elsewhere(name)


class Instance:
    """One server's turns, without its sockets."""

    def __init__(self, engine: Engine, hub: Hub, sweeper: Sweeper, attendance: "Watched") -> None:
        self.engine = engine
        self.attendance = attendance
        self.hub = hub
        self.sweeper = sweeper


class Cluster:
    """What instances share, on a clock that the test turns."""

    def __init__(self, store: Store) -> None:
        self.now = 0.0
        self.instances = 0
        self.owed = 0
        self.attended: dict[str, tuple[str, float]] = {}
        self.history = MemoryHistory()
        self.log = MemoryEventLog(self.history, clock=lambda: self.now)
        self.store = store
        self.settings = Settings(drain_timeout_s=0, settle_timeout_s=5)

    async def owe(self, _started: Started, tokens: int) -> None:
        self.owed += tokens

    @contextlib.asynccontextmanager
    async def instance(
        self, engine: Engine, telemetry: Telemetry | None = None
    ) -> AsyncIterator[Instance]:
        telemetry = telemetry or Telemetry.off()
        self.instances += 1
        attendance = Watched(self.attended, str(self.instances))
        responses = ResponseLog(
            self.log,
            self.store.ledger,
            attendance,
            telemetry.meters,
            silence_s=5,
            keep_unstored_s=1,
            grace_s=self.settings.disconnect_grace_s,
        )
        hub = Hub(
            log=self.log,
            attendance=attendance,
            ledger=self.store.ledger,
            responses=responses,
            spending=Spending(self.store.budgets, hold_s=60),
            owe=self.owe,
            settings=self.settings,
            telemetry=telemetry,
        )
        sweeper = Sweeper(ledger=self.store.ledger, hub=hub, settings=self.settings)
        async with hub.running():
            runner = Runner(engine, self.history, telemetry.meters, patience_s=1)
            hub.models.serve({"kosmos-x": Model(runner, Format())})
            yield Instance(engine, hub, sweeper, attendance)

    def lapse(self) -> None:
        """Let all leases lapse."""
        self.now += self.settings.lease_ttl_s + 1

    async def entries(self) -> list[Entry]:
        return [unpack(data) for data in await self.log.read("resp")]

    async def token_ids(self) -> tuple[int, ...]:
        return tuple(token for entry in (await self.entries())[1:] for token in entry.token_ids)


def started(response_id: str = "resp", *, stop: tuple[str, ...] = ()) -> Started:
    return Started(
        stop=stop,
        response_id=response_id,
        account_id="acct",
        session_id="sess",
        created_at=1.0,
        model="m",
        request=b"{}",
        price=Price(
            version="v",
            token_micro_usd=1,
            image_micro_usd=1,
            detection_micro_usd=0,
            minimum_tokens=1,
        ),
        sampling=Sampling(),
        max_tokens=64,
        input_tokens=len(PROMPT),
        prompt_ids=PROMPT,
        turn_ids=PROMPT,
        image_ids=(),
        new_images=(),
        input=(),
        output_item_id="msg",
        tokens="letters",
        single_turn=True,
    )


async def begin(instance: Instance, *, stop: tuple[str, ...] = ()) -> None:
    session = instance.hub.sessions.resume("sess", "acct", single_turn=True)
    await instance.hub.say(session, started(stop=stop))


async def finish(instance: Instance, response_id: str = "resp") -> list[str]:
    return [event.type async for batch in instance.hub.follow(response_id) for event in batch]


async def lose_owner(instance: Instance) -> None:
    """The owner vanishes in mid-answer, as after kill -9: it says nothing more."""
    await instance.engine.stalled.wait()
    found = instance.hub.live("resp")
    assert found is not None
    found[1].lose()


async def read_events(instance: Instance, projection: Projection) -> list[Event]:
    events = instance.hub.follow("resp", projection=projection)
    return [event async for batch in events for event in batch]


async def say_in_conversation(
    cluster: Cluster, instance: Instance, response_id: str
) -> LiveResponse:
    found = await cluster.history.conversation("acct", "conv")
    turn = replace(
        started(response_id),
        single_turn=False,
        conversation_id="conv",
        parent_id=found.head_id,
        conversation_revision=found.revision,
    )
    session = instance.hub.sessions.resume("sess", "acct", single_turn=False)
    return await instance.hub.say(session, turn)


class Spelled:
    """Another projection: one event for every entry that says something."""

    def __init__(self, _cost: CostFn) -> None:
        self._events = 0

    def feed(self, entry: Entry) -> list[Event]:
        if isinstance(entry, Started) or not entry.text:
            return []
        self._events += 1
        return [Event(self._events - 1, "spelled", entry.text.encode())]
