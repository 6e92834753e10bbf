"""Two instances over a real store that is set back, and sampled answers that have grown since."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from conversation.redis_connection import connect
from conversation.redis_log import RedisEventLog
from kosmosx_stream.embedded_valkey import embedded_valkey
from kosmosx_stream.engines.port import Delta, Generate
from kosmosx_stream.protocol.errors import NotFound
from kosmosx_stream.turns.hub import Hub
from tests.kosmosx_stream.instances import END, LENGTH, PROMPT, Cluster, Engine, Instance, begin
from tests.older_state import set_back, state_of

LEASE_S = 60.0
"""Longer than a test: leases lapse where it says so."""


class Sampled(Engine):
    """Says another word on each instance, again and again: each when the last one is in the log."""

    def __init__(self, token: int, *stalls: int) -> None:
        super().__init__(stalls=stalls)
        self._token = token
        self.hub: Hub

    async def _answer(self, request: Generate) -> AsyncGenerator[Delta, None]:
        for position in range(len(request.prompt_ids) - len(PROMPT), LENGTH):
            await self._until_committed(position)
            if position in self.stalls:
                self.stalled.set()
                await self.go.wait()
                self.go.clear()
            last = position == LENGTH - 1
            yield Delta((END if last else self._token,), "stop" if last else None)

    async def _until_committed(self, tokens: int) -> None:
        while (live := self.hub.live("resp")) and live[1].output_tokens < tokens:  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def go_on(self) -> None:
        """To the next stall."""
        self.stalled.clear()
        self.go.set()
        await self.stalled.wait()


@pytest.fixture
async def redis(tmp_path: Path, cluster: Cluster) -> AsyncIterator[Redis]:
    cluster.settings = cluster.settings.model_copy(update={"lease_ttl_s": LEASE_S})
    async with embedded_valkey(tmp_path / "valkey") as url:
        redis = connect(url)
        yield redis
        await redis.aclose()


def server(cluster: Cluster, redis: Redis, engine: Engine) -> AbstractAsyncContextManager[Instance]:
    """An instance that remembers its own commits only."""
    cluster.log = RedisEventLog(redis, retention_s=1000)  # type: ignore[assignment]
    return cluster.instance(engine)


async def sequences(instance: Instance, after: int = -1) -> list[int]:
    events = instance.hub.follow("resp", after)
    return [event.sequence async for batch in events for event in batch]


async def refused(instance: Instance, after: int) -> None:
    with pytest.raises(NotFound, match=r"set back.*read the response from its beginning") as told:
        await sequences(instance, after)
    assert told.value.code == "log_regressed"


async def test_an_answer_that_grew_again_by_other_words_is_not_gone_on_with(
    cluster: Cluster, redis: Redis
) -> None:
    """Neither by a reader who stayed nor by those who come back, to whichever instance."""
    mine, others = Sampled(100, 2, 6), Sampled(101, 10)
    async with (
        server(cluster, redis, mine) as owner,
        server(cluster, redis, others) as other,
    ):
        mine.hub, others.hub = owner.hub, other.hub
        await begin(owner)
        await mine.stalled.wait()
        older = await state_of(redis)
        await mine.go_on()
        staying = owner.hub.follow("resp")
        read = (await anext(staying))[-1].sequence
        await set_back(redis, older, "resp")
        await other.sweeper.sweep()
        await others.stalled.wait()
        assert (await anext(other.hub.follow("resp")))[-1].sequence > read
        mine.go.set()
        with pytest.raises(NotFound, match="the log was set back"):
            await anext(staying)
        for instance in (owner, other):
            await refused(instance, read)
        others.go.set()
        anew = await sequences(other)
        assert anew == list(range(len(anew)))
        assert await sequences(owner) == anew
        await refused(owner, read)


async def test_an_answer_that_had_ended_is_gone_on_with_and_its_readers_are_told(
    cluster: Cluster, redis: Redis
) -> None:
    """Whoever reads it from its beginning is not, though it goes on here; it is billed once."""
    engine = Sampled(100, 2)
    async with server(cluster, redis, engine) as owner:
        engine.hub = owner.hub
        await begin(owner)
        await engine.stalled.wait()
        older = await state_of(redis)
        engine.go.set()
        whole = await sequences(owner)
        assert await sequences(owner, whole[4]) == whole[5:]
        billed = await cluster.store.ledger.rows("acct", "sess")
        await set_back(redis, older, "resp")
        await refused(owner, whole[4])
        anew = owner.hub.follow("resp")
        read = [event.sequence for event in await anext(anew)]
        engine.stalls.clear()
        await owner.sweeper.sweep()
        read += [event.sequence async for batch in anew for event in batch]
        assert read == await sequences(owner) == whole
        await refused(owner, whole[4])
        await refused(owner, whole[-1])
        assert await cluster.store.ledger.rows("acct", "sess") == billed
