"""Every event log keeps a response's entries in order, once, from its one owner."""

import asyncio

import pytest

from conversation.items import Turn
from conversation.ports import (
    Conflict,
    EventLog,
    Fenced,
    History,
    Lease,
    NotFound,
    Write,
)
from tests.conversation.conftest import Stores
from tests.conversation.leases import LAPSED_S, TTL_S, acquired, verdict
from tests.conversation.samples import conversation, turn

# -- leases ------------------------------------------------------------------------------------


async def test_a_living_lease_keeps_others_out(log: EventLog) -> None:
    await acquired(log)
    assert await log.acquire("resp_1", TTL_S) is None
    assert (await acquired(log, "resp_2")).epoch == 1


async def test_a_lapsed_lease_is_taken_over_with_a_new_epoch(log: EventLog) -> None:
    first = await acquired(log, ttl_s=LAPSED_S)
    second = await acquired(log)
    assert (first.epoch, second.epoch) == (1, 2)


async def test_leases_that_are_taken_at_once_are_each_judged_alone(log: EventLog) -> None:
    first, again, other = await asyncio.gather(
        *(log.acquire(name, TTL_S) for name in ("resp_1", "resp_1", "resp_2"))
    )
    assert (first, again, other) == (Lease("resp_1", 1), None, Lease("resp_2", 1))
    assert first is not None
    stale = Lease("resp_2", 7)
    await asyncio.gather(log.release(first), log.release(stale))
    assert await log.acquire("resp_1", TTL_S) == Lease("resp_1", 3)
    assert await log.acquire("resp_2", TTL_S) is None


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
    assert (await log.expired(10)).response_ids == ["resp_1"]
    assert (await acquired(log)).epoch == lease.epoch + 1


async def test_owners_that_were_lost_are_counted_and_those_that_handed_over_are_not(
    log: EventLog,
) -> None:
    lease = await acquired(log, ttl_s=LAPSED_S)
    assert lease.losses == 0
    for losses in (1, 2):
        lease = await acquired(log, ttl_s=LAPSED_S)
        assert lease.losses == losses
    await log.renew([lease], 0)
    lease = await acquired(log)
    assert lease.losses == 2
    await log.release(lease)
    assert (await acquired(log)).losses == 0


async def test_lapsed_responses_are_found_until_released(log: EventLog) -> None:
    leases = [await acquired(log, f"resp_{i}", LAPSED_S) for i in range(3)]
    await acquired(log, "resp_alive")
    assert set((await log.expired(10)).response_ids) == {"resp_0", "resp_1", "resp_2"}
    assert len((await log.expired(2)).response_ids) == 2
    for lease in leases:
        await log.release(lease)
        await log.release(lease)
    assert (await log.expired(10)).response_ids == []


async def test_writing_renews_the_lease(log: EventLog) -> None:
    lease = await acquired(log, ttl_s=LAPSED_S)
    assert await verdict(log, Write(lease=lease, expected=0, entries=(b"a",))) is None
    assert (await log.expired(10)).response_ids == []
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
