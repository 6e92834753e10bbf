"""Entries of one response on their way into its log: one write at a time, the rest gathers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from conversation.entries import Delta, Ended, Started, merged
from conversation.items import Grounding, Turn
from conversation.ports import Conflict, Lease, Write
from kosmosx_stream.protocol.projection import Projector
from kosmosx_stream.telemetry.telemetry import Telemetry
from kosmosx_stream.turns.committer import Committer
from kosmosx_stream.turns.live_response import AHEAD_TOKENS, LiveResponse
from tests.kosmosx_stream.instances import Cluster, started

BOX = Grounding("box", 0, 3, ((0.0, 0.0, 1.0, 1.0),))


class SlowLog:
    """Commits when it is told to; keeps what was written at a time."""

    def __init__(self, cluster: Cluster) -> None:
        self._log = cluster.log
        self.writes: list[Write] = []
        self.go = asyncio.Semaphore(0)
        self.refuse: Exception | None = None

    def let(self, commits: int) -> None:
        for _ in range(commits):
            self.go.release()

    async def append(self, writes: Sequence[Write], ttl_s: float) -> list[Exception | None]:
        await self.go.acquire()
        self.writes += writes
        if self.refuse is not None:
            refused, self.refuse = self.refuse, None
            return [refused] * len(writes)
        return await self._log.append(writes, ttl_s)


@contextlib.asynccontextmanager
async def responding(
    cluster: Cluster, on_unread: Callable[[], None] = lambda: None
) -> AsyncIterator[tuple[LiveResponse, SlowLog]]:
    log = SlowLog(cluster)
    lease = await cluster.log.acquire("resp", 1)
    assert isinstance(lease, Lease)
    telemetry = Telemetry.off()
    committer = Committer(log, 1, telemetry.meters)  # type: ignore[arg-type]
    running = asyncio.create_task(committer.run())
    live = LiveResponse(
        started(),
        lease,
        committer,
        lambda projection: projection(lambda *_: 0),
        telemetry.begin_turn(started())[0],
        on_unread=lambda _: on_unread(),
        on_lost=lambda _: None,
    )
    yield live, log
    running.cancel()
    log.go.release()
    await asyncio.wait([running])


async def begun(live: LiveResponse, log: SlowLog, *deltas: Delta) -> None:
    """Say the deltas while the first entry is written, then write it."""
    live.publish(started())
    for delta in deltas:
        live.publish(delta)
    log.go.release()
    assert await live.begun is None


def ended() -> Ended:
    return Ended(reason="stop", at=2.0)


async def test_deltas_that_come_during_a_write_become_one(cluster: Cluster) -> None:
    async with responding(cluster) as (live, log):
        deltas = [Delta((1,), "a"), Delta((2,), "b"), Delta((3,), "c", (BOX,)), Delta((4,), "d")]
        await begun(live, log, *deltas)
        live.publish(ended())
        log.let(2)
        assert await live.ended
    _, *said = await cluster.entries()
    assert said == [Delta((1, 2), "ab"), *deltas[2:], ended()]
    assert [write.expected for write in log.writes] == [0, 1, 4]


async def test_only_a_reader_who_leaves_before_the_end_is_missed(cluster: Cluster) -> None:
    """What is missed is kept for the grace period."""
    missed: list[None] = []
    async with responding(cluster, lambda: missed.append(None)) as (live, log):
        await begun(live, log)
        leaving = live.follow()
        await anext(leaving)
        await leaving.aclose()
        assert len(missed) == 1
        live.publish(ended())
        log.let(1)
        assert await live.ended
        live.finish()
        assert [events async for events in live.follow()]
    assert len(missed) == 1


async def test_an_answer_does_not_run_away_from_its_log(cluster: Cluster) -> None:
    async with responding(cluster) as (live, log):
        await begun(live, log)
        for token in range(AHEAD_TOKENS):
            assert live.until_caught_up() is None
            live.publish(Delta((token,), "x"))
        live.publish(Delta((AHEAD_TOKENS,), "x"))
        caught_up = live.until_caught_up()
        assert caught_up is not None
        log.go.release()
        await caught_up
        assert live.until_caught_up() is None


async def test_a_reader_sees_what_is_committed_and_no_more(cluster: Cluster) -> None:
    async with responding(cluster) as (live, log):
        await begun(live, log, Delta((1,), "a"))
        events = live.follow()
        assert [event.type for event in await anext(events)] == [
            "response.created",
            "response.in_progress",
        ]
        live.publish(Delta((2,), "b"))
        log.go.release()
        (*_, delta) = await anext(events)
        assert b'"delta":"a"' in delta.data
        assert not live.reaches(delta.sequence + 1, Projector)
        await events.aclose()


async def test_words_before_an_end_whose_place_is_taken_are_kept(cluster: Cluster) -> None:
    async with responding(cluster) as (live, log):
        live.publish(started())
        live.publish(Delta((1,), "a"))
        live.publish(ended(), turn=turn_of(started()))
        log.let(1)
        assert await live.begun is None
        log.refuse = Conflict("another turn")
        log.let(2)
        assert await live.ended
    _, said, end = await cluster.entries()
    assert said == Delta((1,), "a")
    assert isinstance(end, Ended)
    assert end.reason == "error"


async def test_what_is_refused_is_lost_with_all_that_gathered(cluster: Cluster) -> None:
    async with responding(cluster) as (live, log):
        await begun(live, log, Delta((1,), "a"))
        live.publish(Delta((2,), "b"))
        log.refuse = Conflict("fenced")
        log.let(2)
        assert not await live.ended
    assert len(await cluster.entries()) == 1


def test_a_box_keeps_its_place() -> None:
    plain, boxed = Delta((1,), "a"), Delta((2,), "b", (BOX,))
    assert merged(plain, boxed) is merged(boxed, plain) is None
    assert merged(plain, plain) == Delta((1, 1), "aa")


def turn_of(started: Started) -> Turn:
    return Turn(
        response_id=started.response_id,
        parent_id=None,
        conversation_id=None,
        account_id=started.account_id,
        created_at=started.created_at,
        input=(),
        output=(),
        prompt_ids=started.turn_ids,
        answer_ids=(1,),
        image_ids=(),
        grounding=False,
        billed=True,
        session_id=started.session_id,
        tokens=started.tokens,
    )
