"""Every event log keeps a response's entries in order, once, from its one owner."""

import asyncio
import random
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from conversation.items import Turn
from conversation.memory_history import MemoryHistory
from conversation.memory_log import MemoryEventLog
from conversation.ports import (
    Conflict,
    EventLog,
    Fenced,
    History,
    Lease,
    NotFound,
    Reservation,
    Reserved,
    Write,
)
from tests.conversation.conftest import Stores, redis_stores
from tests.conversation.samples import conversation, turn

TTL_S = 60.0
LAPSED_S = 0.0  # A lease that has lapsed when it is taken: no test waits for a clock.


async def acquired(log: EventLog, response_id: str = "resp_1", ttl_s: float = TTL_S) -> Lease:
    lease = await log.acquire(response_id, ttl_s)
    assert lease is not None
    return lease


async def verdict(log: EventLog, write: Write) -> Exception | None:
    (outcome,) = await log.append([write], TTL_S)
    return outcome


# -- leases ------------------------------------------------------------------------------------


async def test_a_living_lease_keeps_others_out(log: EventLog) -> None:
    await acquired(log)
    assert await log.acquire("resp_1", TTL_S) is None
    assert (await acquired(log, "resp_2")).epoch == 1


async def test_a_lapsed_lease_is_taken_over_with_a_new_epoch(log: EventLog) -> None:
    first = await acquired(log, ttl_s=LAPSED_S)
    second = await acquired(log)
    assert (first.epoch, second.epoch) == (1, 2)


async def test_renewal_prolongs_only_what_is_ours(log: EventLog) -> None:
    old = await acquired(log, "resp_1", LAPSED_S)
    new = await acquired(log, "resp_1", LAPSED_S)
    other = await acquired(log, "resp_2", LAPSED_S)
    assert await log.renew([old, new, other], TTL_S) == [False, True, True]
    assert await log.acquire("resp_1", TTL_S) is None
    assert await log.renew([], TTL_S) == []


async def test_renewal_for_no_time_hands_over(log: EventLog) -> None:
    lease = await acquired(log)
    assert await log.renew([lease], 0) == [True]
    assert await log.expired(10) == ["resp_1"]
    assert (await acquired(log)).epoch == lease.epoch + 1


async def test_lapsed_responses_are_found_until_released(log: EventLog) -> None:
    leases = [await acquired(log, f"resp_{i}", LAPSED_S) for i in range(3)]
    await acquired(log, "resp_alive")
    assert set(await log.expired(10)) == {"resp_0", "resp_1", "resp_2"}
    assert len(await log.expired(2)) == 2
    for lease in leases:
        await log.release(lease)
        await log.release(lease)
    assert await log.expired(10) == []


async def test_writing_renews_the_lease(log: EventLog) -> None:
    lease = await acquired(log, ttl_s=LAPSED_S)
    assert await verdict(log, Write(lease=lease, expected=0, entries=(b"a",))) is None
    assert await log.expired(10) == []
    assert await log.acquire("resp_1", TTL_S) is None


async def test_a_release_by_a_former_owner_does_nothing(log: EventLog) -> None:
    old = await acquired(log, ttl_s=LAPSED_S)
    new = await acquired(log)
    await log.release(old)
    assert await verdict(log, Write(lease=new, expected=0, entries=(b"a",))) is None


async def test_a_living_owner_can_be_dispossessed(log: EventLog) -> None:
    old = await acquired(log)
    await log.append([Write(lease=old, expected=0, entries=(b"a",))], TTL_S)
    new = await log.seize("resp_1", TTL_S)
    assert new == Lease("resp_1", old.epoch + 1)
    assert await log.renew([old, new], TTL_S) == [False, True]
    assert isinstance(await verdict(log, Write(lease=old, expected=1, entries=(b"x",))), Fenced)
    assert await verdict(log, Write(lease=new, expected=1, entries=(b"b",))) is None
    assert await log.read("resp_1") == [b"a", b"b"]


async def test_what_was_released_cannot_be_seized(log: EventLog) -> None:
    assert await log.seize("resp_unknown", TTL_S) is None
    await log.release(await acquired(log))
    assert await log.seize("resp_1", TTL_S) is None


# -- appending ---------------------------------------------------------------------------------


async def test_entries_are_read_back_in_order_from_any_position(log: EventLog) -> None:
    lease = await acquired(log)
    assert await verdict(log, Write(lease=lease, expected=0, entries=(b"a", b"b\x00\xff"))) is None
    assert await verdict(log, Write(lease=lease, expected=2, entries=(b"c",))) is None
    assert await log.read("resp_1") == [b"a", b"b\x00\xff", b"c"]
    assert await log.read("resp_1", 2) == [b"c"]
    assert await log.read("resp_1", 1, 1) == [b"b\x00\xff"]
    assert await log.read("resp_1", 1, 5) == [b"b\x00\xff", b"c"]
    assert await log.read("resp_1", 3) == []
    assert await log.read("resp_unknown") == []


@pytest.mark.parametrize("expected", [0, 2])
async def test_a_write_at_another_length_is_refused(log: EventLog, expected: int) -> None:
    lease = await acquired(log)
    await log.append([Write(lease=lease, expected=0, entries=(b"a",))], TTL_S)
    refused = Write(lease=lease, expected=expected, entries=(b"x",))
    assert isinstance(await verdict(log, refused), Fenced)
    assert await log.read("resp_1") == [b"a"]


async def test_the_former_owner_is_refused(log: EventLog) -> None:
    old = await acquired(log, ttl_s=LAPSED_S)
    await acquired(log)
    assert isinstance(await verdict(log, Write(lease=old, expected=0, entries=(b"a",))), Fenced)
    assert await log.read("resp_1") == []


async def test_an_owner_whose_lease_lapsed_writes_on_until_somebody_takes_over(
    log: EventLog,
) -> None:
    lease = await acquired(log, ttl_s=LAPSED_S)
    assert await verdict(log, Write(lease=lease, expected=0, entries=(b"a",))) is None


async def test_the_same_write_again_is_acknowledged_and_appended_once(stores: Stores) -> None:
    lease = await acquired(stores.log)
    await stores.history.create_conversation(conversation())
    write = Write(
        lease=lease, expected=0, entries=(b"a", b"b"), turn=turn("resp_1", None, "conv_1")
    )
    assert await verdict(stores.log, write) is None
    assert await verdict(stores.log, write) is None
    assert await stores.log.read("resp_1") == [b"a", b"b"]
    longer = Write(lease=lease, expected=0, entries=(b"a", b"b", b"c"))
    assert isinstance(await verdict(stores.log, longer), Fenced)
    other = Write(lease=lease, expected=0, entries=(b"a", b"x"))
    assert isinstance(await verdict(stores.log, other), Fenced)


async def test_the_same_write_again_is_refused_once_another_owns_the_log(log: EventLog) -> None:
    old = await acquired(log, ttl_s=LAPSED_S)
    write = Write(lease=old, expected=0, entries=(b"a",))
    (outcome,) = await log.append([write], LAPSED_S)
    assert outcome is None
    await acquired(log)
    assert isinstance(await verdict(log, write), Fenced)


async def test_each_write_of_a_commit_has_its_own_verdict(log: EventLog) -> None:
    stale = await acquired(log, "resp_stale", LAPSED_S)
    await acquired(log, "resp_stale")
    one, two = await acquired(log, "resp_1"), await acquired(log, "resp_2")
    verdicts = await log.append(
        [
            Write(lease=one, expected=0, entries=(b"a",)),
            Write(lease=stale, expected=0, entries=(b"x",)),
            Write(lease=two, expected=7, entries=(b"x",)),
            Write(lease=one, expected=1, entries=(b"b", b"c")),
        ],
        TTL_S,
    )
    assert [type(outcome) for outcome in verdicts] == [type(None), Fenced, Fenced, type(None)]
    assert await log.read("resp_1") == [b"a", b"b", b"c"]
    assert await log.read("resp_stale") == await log.read("resp_2") == []


async def test_an_empty_commit_and_an_empty_write(log: EventLog) -> None:
    assert await log.append([], TTL_S) == []
    lease = await acquired(log)
    assert await verdict(log, Write(lease=lease, expected=0, entries=())) is None
    assert isinstance(await verdict(log, Write(lease=lease, expected=1, entries=())), Fenced)


async def test_a_commit_of_more_writes_than_one_script_takes(log: EventLog) -> None:
    lease = await acquired(log)
    writes = [Write(lease=lease, expected=i, entries=(b"%d" % i,)) for i in range(1500)]
    assert await log.append(writes, TTL_S) == [None] * 1500
    assert await log.read("resp_1", 1498) == [b"1498", b"1499"]


async def test_after_release_nothing_is_written(log: EventLog) -> None:
    lease = await acquired(log)
    await log.append([Write(lease=lease, expected=0, entries=(b"a",))], TTL_S)
    await log.release(lease)
    assert isinstance(await verdict(log, Write(lease=lease, expected=1, entries=(b"b",))), Fenced)
    assert await log.renew([lease], TTL_S) == [False]
    assert await log.read("resp_1") == [b"a"]


async def test_a_deleted_log_is_gone(log: EventLog) -> None:
    lease = await acquired(log)
    await log.append([Write(lease=lease, expected=0, entries=(b"a",))], TTL_S)
    await log.release(lease)
    await log.delete("resp_1")
    await log.delete("resp_1")
    assert await log.read("resp_1") == []
    assert isinstance(await verdict(log, Write(lease=lease, expected=0, entries=(b"b",))), Fenced)


# -- the last entry brings a turn --------------------------------------------------------------


async def test_the_turn_enters_the_conversation_with_the_last_entry(stores: Stores) -> None:
    await stores.history.create_conversation(conversation())
    lease = await acquired(stores.log)
    last = turn("resp_1", None, "conv_1")
    assert (
        await verdict(stores.log, Write(lease=lease, expected=0, entries=(b"end",), turn=last))
        is None
    )
    assert await stores.history.turn("acct_a", "resp_1") == last
    assert (await stores.history.conversation("acct_a", "conv_1")).head_id == "resp_1"


@pytest.mark.parametrize(
    "refused",
    [
        turn("resp_1", "resp_0", "conv_1"),
        turn("resp_1", None, "conv_none"),
        turn("resp_1", None, "conv_1", account_id="acct_b"),
    ],
    ids=["not the head", "no conversation", "another account's"],
)
async def test_a_turn_that_does_not_follow_takes_its_entry_with_it(
    stores: Stores, refused: Turn
) -> None:
    await stores.history.create_conversation(conversation())
    lease, other = await acquired(stores.log), await acquired(stores.log, "resp_2")
    verdicts = await stores.log.append(
        [
            Write(lease=lease, expected=0, entries=(b"end",), turn=refused),
            Write(lease=other, expected=0, entries=(b"a",)),
        ],
        TTL_S,
    )
    assert isinstance(verdicts[0], Conflict)
    assert verdicts[1] is None
    assert await stores.log.read("resp_1") == []
    await assert_no_turn(stores.history, "resp_1")
    assert await verdict(stores.log, Write(lease=lease, expected=0, entries=(b"end",))) is None


async def test_a_fenced_write_brings_no_turn(stores: Stores) -> None:
    old = await acquired(stores.log, ttl_s=LAPSED_S)
    await acquired(stores.log)
    refused = Write(lease=old, expected=0, entries=(b"end",), turn=turn("resp_1"))
    assert isinstance(await verdict(stores.log, refused), Fenced)
    await assert_no_turn(stores.history, "resp_1")


async def assert_no_turn(history: History, response_id: str) -> None:
    for account_id in ("acct_a", "acct_b"):
        with pytest.raises(NotFound):
            await history.turn(account_id, response_id)


# -- fencing, in every order -------------------------------------------------------------------


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


# -- reservations --------------------------------------------------------------------------------

ASKED = Reservation(name="name", fingerprint="fingerprint")


async def reserved(log: EventLog, response_id: str, ttl_s: float = TTL_S) -> Lease | Reserved:
    return await log.reserve(ASKED, response_id, ttl_s=ttl_s, kept_s=TTL_S)


async def begun(log: EventLog, lease: Lease) -> Exception | None:
    held = await log.acquire(lease.response_id, TTL_S, None, lease)
    assert held == lease
    return await verdict(log, Write(lease=lease, expected=0, entries=(b"started",)))


async def test_a_name_stands_for_its_first_response(log: EventLog) -> None:
    lease = await reserved(log, "resp_1")
    assert lease == Lease("resp_1", 1)
    assert await reserved(log, "resp_2") == Reserved("resp_1", "fingerprint", started=False)
    assert await log.acquire("resp_1", TTL_S) is None  # A sweeper does not mistake it for lost.
    assert await begun(log, lease) is None
    await log.release(lease)
    assert await reserved(log, "resp_3") == Reserved("resp_1", "fingerprint", started=True)
    other = Reservation(name="other", fingerprint="fingerprint")
    assert isinstance(await log.reserve(other, "resp_4", ttl_s=TTL_S, kept_s=TTL_S), Lease)


async def test_a_refused_request_gives_its_name_back(log: EventLog) -> None:
    lease = await reserved(log, "resp_1")
    assert isinstance(lease, Lease)
    await log.unreserve(ASKED, lease)
    assert await log.expired(10) == []
    again = await reserved(log, "resp_2")
    assert again == Lease("resp_2", 1)
    await log.unreserve(ASKED, lease)  # The first one has no say in it any more.
    assert isinstance(await reserved(log, "resp_3"), Reserved)


async def test_what_has_begun_keeps_its_name(log: EventLog) -> None:
    lease = await reserved(log, "resp_1")
    assert isinstance(lease, Lease)
    assert await begun(log, lease) is None
    await log.unreserve(ASKED, lease)
    assert await reserved(log, "resp_2") == Reserved("resp_1", "fingerprint", started=True)
    assert await verdict(log, Write(lease=lease, expected=1, entries=(b"more",))) is None


async def test_the_name_of_a_dead_owner_is_taken_over(log: EventLog) -> None:
    """Should the owner live after all, it can say nothing: one response, whatever happens."""
    zombie = await reserved(log, "resp_1", LAPSED_S)
    assert isinstance(zombie, Lease)
    lease = await reserved(log, "resp_2")
    assert isinstance(lease, Lease)
    assert await log.acquire("resp_1", TTL_S, None, zombie) is None
    write = Write(lease=zombie, expected=0, entries=(b"started",))
    assert isinstance(await verdict(log, write), Fenced)
    assert await begun(log, lease) is None


async def test_one_of_many_gets_the_name(log: EventLog) -> None:
    found = await asyncio.gather(*(reserved(log, f"resp_{number}") for number in range(20)))
    leases = [each for each in found if isinstance(each, Lease)]
    assert len(leases) == 1
    assert {each.response_id for each in found} == {leases[0].response_id}


async def test_a_name_is_kept_for_its_time(redis: Redis) -> None:
    log = redis_stores(redis).log
    await log.reserve(ASKED, "resp_1", ttl_s=TTL_S, kept_s=100.0)
    (key,) = await redis.keys("*reservation*")
    assert 99_000 < await redis.pttl(key) <= 100_000
