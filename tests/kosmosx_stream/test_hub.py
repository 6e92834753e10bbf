"""Turns that outlive their owners, on a log in memory and an engine whose tokens are known."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from conversation.entries import Delta as LogDelta
from conversation.entries import Ended, Entry, Price, Sampling, Started, pack, unpack
from conversation.items import Conversation, Message
from conversation.memory_attendance import MemoryAttendance
from conversation.memory_history import MemoryHistory
from conversation.memory_log import MemoryEventLog
from conversation.ports import Write
from kosmosx_stream.chat_format import Released
from kosmosx_stream.engines.port import Delta, EngineDead, Generate
from kosmosx_stream.hub import Hub
from kosmosx_stream.live_response import LiveResponse
from kosmosx_stream.protocol.counting import CostFn
from kosmosx_stream.protocol.errors import Conflict as ConflictError
from kosmosx_stream.protocol.errors import NotFound as NotFoundError
from kosmosx_stream.protocol.fold import Projection, Unseen
from kosmosx_stream.protocol.frames import Event
from kosmosx_stream.protocol.projection import Projector
from kosmosx_stream.response_log import ResponseLog
from kosmosx_stream.runner import Runner
from kosmosx_stream.settings import Settings
from kosmosx_stream.sweeper import MAX_ADOPTIONS, Sweeper
from metering.authenticator import Principal
from metering.sqlite_store import SqliteStore
from metering.store import Account

LENGTH = 12
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

    async def generate(self, request: Generate) -> AsyncGenerator[Delta, None]:
        self.requests.append(request)
        try:
            async for delta in self._answer(request):
                yield delta
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
            token = answer()[position]
            last = position + 1 == len(answered) + request.max_tokens
            finish = "stop" if token == END else "length" if last else None
            yield Delta((token,), finish)
            if finish:
                return


class Instance:
    """One server's turns, without its sockets."""

    def __init__(self, engine: Engine, hub: Hub, sweeper: Sweeper, attendance: "Watched") -> None:
        self.engine = engine
        self.attendance = attendance
        self.hub = hub
        self.sweeper = sweeper


class Cluster:
    """What instances share, on a clock that the test turns."""

    def __init__(self, store: SqliteStore) -> None:
        self.now = 0.0
        self.instances = 0
        self.attended: dict[str, tuple[str, float]] = {}
        self.history = MemoryHistory()
        self.log = MemoryEventLog(self.history, clock=lambda: self.now)
        self.store = store
        self.settings = Settings(drain_timeout_s=0, settle_timeout_s=5)

    @contextlib.asynccontextmanager
    async def instance(self, engine: Engine) -> AsyncIterator[Instance]:
        self.instances += 1
        attendance = Watched(self.attended, str(self.instances))
        responses = ResponseLog(
            self.log,
            self.store,
            attendance,
            silence_s=5,
            keep_unstored_s=1,
            grace_s=self.settings.disconnect_grace_s,
        )
        hub = Hub(
            log=self.log,
            attendance=attendance,
            store=self.store,
            responses=responses,
            settings=self.settings,
        )
        sweeper = Sweeper(
            log=self.log, responses=responses, store=self.store, hub=hub, settings=self.settings
        )
        async with hub.running():
            hub.serve_with(Runner(engine, self.history, patience_s=1), Format())
            yield Instance(engine, hub, sweeper, attendance)

    def lapse(self) -> None:
        """Let all leases lapse."""
        self.now += self.settings.lease_ttl_s + 1

    async def entries(self) -> list[Entry]:
        return [unpack(data) for data in await self.log.read("resp")]

    async def token_ids(self) -> tuple[int, ...]:
        return tuple(token for entry in (await self.entries())[1:] for token in entry.token_ids)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    store = await SqliteStore.open(tmp_path / "books.db")
    await store.create_account(Account(id="acct", name="", created_at=0))
    await store.open_session("sess", "acct", None, 0)
    yield Cluster(store)
    await store.close()


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


@pytest.mark.parametrize("position", range(1, LENGTH))
async def test_a_lost_turn_goes_on_after_its_last_token(cluster: Cluster, position: int) -> None:
    async with (
        cluster.instance(Engine(stalls=[position])) as first,
        cluster.instance(Engine()) as second,
    ):
        await begin(first)
        await lose_owner(first)
        before = await cluster.token_ids()
        assert before == answer()[:position]
        await second.sweeper.sweep()
        assert len(await cluster.entries()) == 1 + position  # The lease is still alive.
        cluster.lapse()
        await second.sweeper.sweep()
        assert (await finish(second))[-1] == "response.completed"
    assert await cluster.token_ids() == answer()
    (request,) = second.engine.requests
    assert request.prompt_ids == (*PROMPT, *before)
    turn = await cluster.history.turn("acct", "resp")
    assert turn.answer_ids == answer()
    assert turn.output[0].content[0].text == "".join(chr(t) for t in answer() if t != END)
    record = await cluster.store.session("acct", "sess")
    assert record.state == "closed"
    (row,) = await cluster.store.ledger("acct", "sess")
    assert row.raw_units == len(PROMPT) + LENGTH


async def test_only_the_end_was_missing(cluster: Cluster) -> None:
    """The last token is in the log, and the entry that ends it is not."""
    lease = await cluster.log.acquire("resp", 1)
    assert lease is not None
    deltas = [LogDelta((token,), chr(token)) for token in answer()]
    async with cluster.instance(Engine()) as instance:
        entries = tuple(pack(entry) for entry in (started(), *deltas))
        await cluster.log.append([Write(lease=lease, expected=0, entries=entries)], 1)
        cluster.lapse()
        await instance.sweeper.sweep()
        await finish(instance)
        assert instance.engine.requests == []
    assert (await cluster.entries())[-1].reason == "stop"
    assert await cluster.token_ids() == answer()


async def test_a_turn_that_is_lost_too_often_is_ended(cluster: Cluster) -> None:
    for loss in range(MAX_ADOPTIONS + 1):
        async with cluster.instance(Engine(stalls=[loss + 1])) as instance:
            if loss:
                await instance.sweeper.sweep()
            else:
                await begin(instance)
            await lose_owner(instance)
        cluster.lapse()
    async with cluster.instance(Engine()) as last:
        await last.sweeper.sweep()
        assert last.engine.requests == []
    end = (await cluster.entries())[-1]
    assert isinstance(end, Ended)
    assert (end.reason, end.error_code) == ("error", "server_error")
    (row,) = await cluster.store.ledger("acct", "sess")
    assert row.raw_units == len(PROMPT) + MAX_ADOPTIONS + 1


async def test_a_lost_turn_of_another_model_is_ended(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cluster.instance(Engine(stalls=[3])) as first:
        await begin(first)
        await lose_owner(first)
    cluster.lapse()
    monkeypatch.setattr(Format, "tokens", "syllables")
    async with cluster.instance(Engine()) as last:
        await last.sweeper.sweep()
        assert last.engine.requests == []
    end = (await cluster.entries())[-1]
    assert isinstance(end, Ended)
    assert (end.reason, end.error_code) == ("error", "server_error")
    (row,) = await cluster.store.ledger("acct", "sess")
    assert row.raw_units == len(PROMPT) + 3


async def test_a_stop_string_stops_the_engine(cluster: Cluster) -> None:
    said = "".join(map(chr, answer()[:5]))
    async with cluster.instance(Engine(stalls=[5])) as instance:
        await begin(instance, stop=(said[3:],))
        assert (await finish(instance))[-1] == "response.completed"
        assert instance.engine.closed
    entries = await cluster.entries()
    assert "".join(entry.text for entry in entries[1:]) == said[:3]
    assert await cluster.token_ids() == answer()[:5]


async def test_a_turn_outlives_its_engine(cluster: Cluster) -> None:
    async with cluster.instance(Engine(deaths=[0, 4, 9])) as instance:
        await begin(instance)
        assert (await finish(instance))[-1] == "response.completed"
    assert await cluster.token_ids() == answer()
    assert len({request.request_id for request in instance.engine.requests}) == 4


async def test_a_turn_that_kills_every_engine_fails(cluster: Cluster) -> None:
    async with cluster.instance(Engine(deaths=[3, 3, 3, 3])) as instance:
        await begin(instance)
        assert (await finish(instance))[-1] == "response.failed"
    assert await cluster.token_ids() == answer()[:3]


async def test_a_drain_hands_over_what_it_cannot_wait_for(cluster: Cluster) -> None:
    async with (
        cluster.instance(Engine(stalls=[5])) as first,
        cluster.instance(Engine()) as second,
    ):
        await begin(first)
        await first.engine.stalled.wait()
        await first.hub.drain()
        await second.sweeper.sweep()
        assert (await finish(second))[-1] == "response.completed"
    assert await cluster.token_ids() == answer()


async def test_a_reader_goes_on_where_the_turn_goes_on(cluster: Cluster) -> None:
    """A reader on the old owner gets the rest through the log, each event once."""
    async with (
        cluster.instance(Engine(stalls=[5])) as first,
        cluster.instance(Engine()) as second,
    ):
        await begin(first)
        reading = asyncio.create_task(read(first))
        await lose_owner(first)
        cluster.lapse()
        await second.sweeper.sweep()
        numbers = await reading
    assert numbers == list(range(len(numbers)))
    assert len(numbers) == 2 + 2 + (LENGTH - 1) + 3 + 1


async def read(instance: Instance) -> list[int]:
    return [event.sequence async for batch in instance.hub.follow("resp") for event in batch]


class Spelled:
    """Another projection: one event for every entry that says something."""

    def __init__(self, _cost: CostFn) -> None:
        self._events = 0

    def feed(self, entry: Entry) -> list[Event]:
        if isinstance(entry, Started) or not entry.text:
            return []
        self._events += 1
        return [Event(self._events - 1, "spelled", entry.text.encode())]


async def test_readers_choose_a_projection_and_those_of_one_share_its_events(
    cluster: Cluster,
) -> None:
    async with cluster.instance(Engine(stalls=[5])) as instance:
        await begin(instance)
        readings = [
            asyncio.create_task(read_events(instance, projection))
            for projection in (Projector, Projector, Spelled, Unseen)
        ]
        await instance.engine.stalled.wait()
        instance.engine.go.set()
        one, other, spelled, unseen = await asyncio.gather(*readings)
    assert [id(event) for event in one] == [id(event) for event in other]
    assert one[-1].type == "response.completed"
    assert b"".join(event.data for event in spelled) == "".join(map(chr, answer()[:-1])).encode()
    assert unseen == []


async def test_any_projection_goes_on_where_the_turn_goes_on(cluster: Cluster) -> None:
    async with (
        cluster.instance(Engine(stalls=[5])) as first,
        cluster.instance(Engine()) as second,
    ):
        await begin(first)
        reading = asyncio.create_task(read_events(first, Spelled))
        await lose_owner(first)
        cluster.lapse()
        await second.sweeper.sweep()
        assert [event.data.decode() for event in await reading] == list(map(chr, answer()[:-1]))


async def read_events(instance: Instance, projection: Projection) -> list[Event]:
    events = instance.hub.follow("resp", projection=projection)
    return [event async for batch in events for event in batch]


class Watched(MemoryAttendance):
    """Tells when it was asked whether somebody else attends."""

    def __init__(self, notes: dict[str, tuple[str, float]], instance: str) -> None:
        super().__init__(notes, instance, clock=asyncio.get_running_loop().time)
        self.asked = asyncio.Event()

    async def elsewhere(self, name: str) -> bool:
        self.asked.set()
        return await super().elsewhere(name)


async def test_a_turn_that_is_read_elsewhere_goes_on(cluster: Cluster) -> None:
    """Its owner has no reader, and asks the others before it gives up."""
    cluster.settings = cluster.settings.model_copy(update={"disconnect_grace_s": 0.3})
    async with (
        cluster.instance(Engine(stalls=[5])) as owner,
        cluster.instance(Engine()) as other,
    ):
        await begin(owner)
        reading = asyncio.create_task(finish(other))
        await owner.engine.stalled.wait()
        reader = owner.hub.follow("resp")
        await anext(reader)
        await reader.aclose()  # The last reader here has left.
        for _ in range(3):
            owner.attendance.asked.clear()
            await owner.attendance.asked.wait()
        owner.engine.go.set()
        assert (await reading)[-1] == "response.completed"
    assert await cluster.token_ids() == answer()


async def test_a_turn_that_nobody_reads_any_more_is_stopped(cluster: Cluster) -> None:
    cluster.settings = cluster.settings.model_copy(update={"disconnect_grace_s": 0.3})
    async with (
        cluster.instance(Engine(stalls=[5])) as owner,
        cluster.instance(Engine()) as other,
    ):
        await begin(owner)
        await owner.engine.stalled.wait()
        for instance in (other, owner):
            reader = instance.hub.follow("resp")
            await anext(reader)
            await reader.aclose()
        live = owner.hub.live("resp")
        assert live is not None
        await live[1].ended
    assert (await cluster.entries())[-1].reason == "cancelled"


async def test_a_session_that_went_elsewhere_is_not_closed(cluster: Cluster) -> None:
    cluster.settings = cluster.settings.model_copy(update={"disconnect_grace_s": 0.3})
    async with cluster.instance(Engine()) as former, cluster.instance(Engine()) as present:
        here = await former.hub.sessions.join("sess", PRINCIPAL)
        there = await present.hub.sessions.join("sess", PRINCIPAL)
        with present.hub.sessions.connection(there):
            await present.hub.sessions.note_connected()
            with former.hub.sessions.connection(here):
                pass
            await former.attendance.asked.wait()
            assert (await cluster.store.session("acct", "sess")).state == "open"
        assert (await there.closed).close_reason == "disconnected"


async def test_any_instance_cancels_at_once(cluster: Cluster) -> None:
    """The owner lives, and learns it from the log; what it had committed is billed, once."""
    async with (
        cluster.instance(Engine(stalls=[5])) as owner,
        cluster.instance(Engine()) as other,
    ):
        await begin(owner)
        reading = asyncio.create_task(finish(owner))
        await owner.engine.stalled.wait()
        with pytest.raises(NotFoundError):
            await other.hub.ending.cancel("another account", "resp")
        await other.hub.ending.cancel("acct", "resp")
        await other.hub.ending.cancel("acct", "resp")  # It has ended; that changes nothing.
        await owner.hub.heartbeat.renew()
        assert (await reading)[-1] == "response.incomplete"
        assert owner.hub.live("resp") is None
        owner.engine.go.set()
    assert await cluster.token_ids() == answer()[:5]
    assert (await cluster.entries())[-1].reason == "cancelled"
    turn = await cluster.history.turn("acct", "resp")
    assert turn.answer_ids == answer()[:5]
    record = await cluster.store.session("acct", "sess")
    assert (record.state, record.close_reason) == ("closed", "finished")
    (row,) = await cluster.store.ledger("acct", "sess")
    assert row.raw_units == len(PROMPT) + 5


async def test_a_response_is_cancelled_after_its_owner_was_lost(cluster: Cluster) -> None:
    """Nobody has to wait for the lease to lapse."""
    async with (
        cluster.instance(Engine(stalls=[5])) as first,
        cluster.instance(Engine()) as second,
    ):
        await begin(first)
        await lose_owner(first)
        await second.hub.ending.cancel("acct", "resp")
        cluster.lapse()
        await second.sweeper.sweep()
        assert second.engine.requests == []
        assert (await finish(second))[-1] == "response.incomplete"
    assert await cluster.token_ids() == answer()[:5]


async def test_what_had_only_its_end_missing_is_not_cancelled(cluster: Cluster) -> None:
    lease = await cluster.log.acquire("resp", 1)
    assert lease is not None
    deltas = [LogDelta((token,), chr(token)) for token in answer()]
    entries = tuple(pack(entry) for entry in (started(), *deltas))
    await cluster.log.append([Write(lease=lease, expected=0, entries=entries)], 1)
    async with cluster.instance(Engine()) as instance:
        await instance.hub.ending.cancel("acct", "resp")
    assert (await cluster.entries())[-1].reason == "stop"


async def test_a_session_in_use_is_not_closed_from_elsewhere(cluster: Cluster) -> None:
    async with (
        cluster.instance(Engine(stalls=[5])) as owner,
        cluster.instance(Engine()) as other,
    ):
        await begin(owner)
        await owner.engine.stalled.wait()
        await owner.hub.sessions.touch_used()
        (idle,) = await cluster.store.idle_sessions(time.time() + 1)
        await other.hub.sessions.close_idle(idle, before=time.time() - 60)
        assert (await cluster.store.session("acct", "sess")).state == "open"
        await cluster.store.close_session("acct", "sess", time.time(), "client")
        await owner.hub.sessions.touch_used()
        assert (await finish(owner))[-1] == "response.incomplete"


async def test_an_adopted_turn_does_not_close_the_session_of_others(cluster: Cluster) -> None:
    async with (
        cluster.instance(Engine(stalls=[5])) as first,
        cluster.instance(Engine()) as second,
    ):
        session = first.hub.sessions.resume("sess", "acct", single_turn=False)
        await first.hub.say(session, replace(started(), single_turn=False))
        await lose_owner(first)
        cluster.lapse()
        await second.sweeper.sweep()
        await finish(second)
        await second.hub.drain()
        assert (await cluster.store.session("acct", "sess")).state == "open"


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


@pytest.fixture
async def conversing(cluster: Cluster) -> Cluster:
    conversation = Conversation(id="conv", account_id="acct", created_at=0, metadata={})
    await cluster.history.create_conversation(conversation)
    return cluster


async def test_two_instances_in_one_conversation(conversing: Cluster) -> None:
    """The second is refused before a token is generated, and let in after the first one's end."""
    async with (
        conversing.instance(Engine(stalls=[5])) as first,
        conversing.instance(Engine()) as second,
    ):
        await say_in_conversation(conversing, first, "resp")
        with pytest.raises(ConflictError) as refused:
            await say_in_conversation(conversing, second, "late")
        assert refused.value.code == "conversation_locked"
        assert await conversing.log.read("late") == []
        first.engine.go.set()
        assert (await finish(first))[-1] == "response.completed"
        await say_in_conversation(conversing, second, "next")
        assert (await finish(second, "next"))[-1] == "response.completed"
    chain = await conversing.history.chain("acct", "next")
    assert [turn.response_id for turn in chain] == ["resp", "next"]


async def test_an_adopted_turn_keeps_its_conversation(conversing: Cluster) -> None:
    async with (
        conversing.instance(Engine(stalls=[5])) as first,
        conversing.instance(Engine(stalls=[8])) as second,
    ):
        await say_in_conversation(conversing, first, "resp")
        await lose_owner(first)
        conversing.lapse()
        for moment in ("lapsed", "adopted"):
            with pytest.raises(ConflictError):
                await say_in_conversation(conversing, second, moment)
            await second.sweeper.sweep()
        second.engine.go.set()
        assert (await finish(second))[-1] == "response.completed"
    assert (await conversing.history.conversation("acct", "conv")).head_id == "resp"


async def test_a_failed_turn_frees_its_conversation(conversing: Cluster) -> None:
    async with conversing.instance(Engine(deaths=[3, 3, 3, 3])) as instance:
        await say_in_conversation(conversing, instance, "resp")
        assert (await finish(instance))[-1] == "response.failed"
        await say_in_conversation(conversing, instance, "next")
        assert (await finish(instance, "next"))[-1] == "response.completed"
    assert (await conversing.history.conversation("acct", "conv")).head_id == "next"


async def test_a_deleted_conversation_takes_no_turn(conversing: Cluster) -> None:
    """It was there when the turn was admitted."""
    turn = replace(started(), conversation_id="gone")
    async with conversing.instance(Engine()) as instance:
        session = instance.hub.sessions.resume("sess", "acct", single_turn=False)
        with pytest.raises(NotFoundError):
            await instance.hub.say(session, turn)


async def test_a_turn_that_was_cancelled_from_elsewhere_frees_its_conversation(
    conversing: Cluster,
) -> None:
    async with (
        conversing.instance(Engine(stalls=[5])) as first,
        conversing.instance(Engine()) as second,
    ):
        await say_in_conversation(conversing, first, "resp")
        await first.engine.stalled.wait()
        await second.hub.ending.cancel("acct", "resp")
        await say_in_conversation(conversing, second, "next")
        assert (await finish(second, "next"))[-1] == "response.completed"
    assert len(await conversing.history.chain("acct", "next")) == 2


async def test_an_answer_to_a_conversation_that_expired_stands_outside(
    conversing: Cluster,
) -> None:
    """Its reader is told that nobody will remember it, and it is billed."""
    async with conversing.instance(Engine(stalls=[5])) as instance:
        await say_in_conversation(conversing, instance, "resp")
        await instance.engine.stalled.wait()
        conversing.history._conversations.clear()
        instance.engine.go.set()
        assert (await finish(instance))[-1] == "response.failed"
    ended = (await conversing.entries())[-1]
    assert (ended.reason, ended.error_code) == ("error", "conversation_conflict")
    assert await conversing.token_ids() == answer()
