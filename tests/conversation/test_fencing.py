"""Whoever lost a log writes nothing there, whatever the order of events."""

import asyncio
import random
from dataclasses import dataclass, field
from uuid import uuid4

from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from conversation.memory_history import MemoryHistory
from conversation.memory_log import MemoryEventLog
from conversation.ports import (
    EventLog,
    Fenced,
    Lease,
    Write,
)
from tests.conversation.conftest import Stores, redis_stores
from tests.conversation.leases import LAPSED_S, TTL_S


@dataclass
class Owner:
    """One who may believe, rightly or not, that the log is theirs."""

    lease: Lease | None = None
    length: int = 0
    last: Write | None = None


@dataclass
class Model:
    """What the log must hold, and the epoch that may write."""

    entries: list[bytes] = field(default_factory=list)
    owner: Owner | None = None
    alive: bool = False


Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["acquire", "acquire briefly", "append", "append", "repeat", "release"]),
        st.integers(0, 2),
        st.integers(1, 3),
    ),
    max_size=30,
)


async def play(log: EventLog, response_id: str, steps: list[Step]) -> None:
    """Let owners act in the given order; whoever is fenced goes on with an old view."""
    model, owners = Model(), [Owner() for _ in range(3)]
    for number, (action, who, count) in enumerate(steps):
        owner = owners[who]
        entries = tuple(b"%d.%d" % (number, i) for i in range(count))
        match action:
            case "acquire" | "acquire briefly":
                await play_acquire(log, response_id, model, owner, alive=action == "acquire")
            case "append" if owner.lease is not None:
                owner.last = Write(lease=owner.lease, expected=owner.length, entries=entries)
                await play_write(log, model, owner, owner.last)
            case "repeat" if owner.last is not None:
                await play_write(log, model, owner, owner.last)
            case "release" if owner.lease is not None:
                await log.release(owner.lease)
                if model.owner is owner:
                    model.owner, model.alive = None, False
    assert await log.read(response_id) == model.entries


async def play_acquire(
    log: EventLog, response_id: str, model: Model, owner: Owner, *, alive: bool
) -> None:
    lease = await log.acquire(response_id, TTL_S if alive else LAPSED_S)
    assert (lease is None) == model.alive
    if lease is not None:
        # Each lease is a new owner, even in the same place: the old one may still be writing.
        owner.lease, owner.length, owner.last = lease, len(await log.read(response_id)), None
        model.owner, model.alive = owner, alive


async def play_write(log: EventLog, model: Model, owner: Owner, write: Write) -> None:
    (outcome,) = await log.append([write], TTL_S)
    there = model.entries[write.expected : write.expected + len(write.entries)]
    repeated = tuple(there) == write.entries
    if model.owner is not owner:
        assert isinstance(outcome, Fenced)
        return
    assert outcome is None
    model.alive = True
    if not repeated:
        assert write.expected == len(model.entries)
        model.entries += write.entries
    owner.length = max(owner.length, write.expected + len(write.entries))


@given(STEPS)
@settings(max_examples=300, deadline=None)
async def test_memory_never_lets_two_owners_write(steps: list[Step]) -> None:
    await play(MemoryEventLog(MemoryHistory()), "resp_1", steps)


@given(steps=STEPS)
@settings(max_examples=60, deadline=None)
async def test_redis_never_lets_two_owners_write(shared_redis: Redis, steps: list[Step]) -> None:
    await play(redis_stores(shared_redis).log, f"resp_{uuid4()}", steps)


async def test_owners_that_race_leave_no_duplicate_and_no_gap(stores: Stores) -> None:
    """Leases lapse at once, so that every owner is robbed again and again in mid-write."""
    acknowledged: dict[int, bytes] = {}
    dice = random.Random(20)

    async def owner(name: int) -> None:
        for round_ in range(40):
            lease = await stores.log.acquire("resp_1", LAPSED_S)
            if lease is None:
                continue
            position = len(await stores.log.read("resp_1"))
            for step in range(dice.randrange(1, 5)):
                entry = b"%d.%d.%d" % (name, round_, step)
                write = Write(lease=lease, expected=position, entries=(entry,))
                (outcome,) = await stores.log.append([write], LAPSED_S)
                if outcome is not None:
                    assert isinstance(outcome, Fenced)
                    break
                assert position not in acknowledged
                acknowledged[position] = entry
                position += 1
                await asyncio.sleep(0)

    async with asyncio.TaskGroup() as owners:
        for name in range(4):
            owners.create_task(owner(name))
    entries = await stores.log.read("resp_1")
    assert acknowledged == dict(enumerate(entries))
    assert len(set(entries)) == len(entries) > 0
