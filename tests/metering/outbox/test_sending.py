"""What every outbox must do with rows that are sent, or wait for it."""

import asyncio

import msgspec

from metering.outbox import AMBIGUOUS_AFTER_S, EXPIRED_AFTER_S, HOUR_S
from metering.store import Store
from tests.metering.outbox.owing import (
    AT,
    LATER,
    LEASE_S,
    claim,
    claim_one,
    close,
    owe,
    record,
    row,
    rows,
)


async def test_a_claim_counts_the_attempt_first(store: Store) -> None:
    owed = await owe(store)
    claimed = await claim_one(store, AT + 5)
    assert claimed == msgspec.structs.replace(
        owed, attempts=1, first_attempt_at=AT + 5, claimed_until=AT + 5 + LEASE_S
    )
    assert await rows(store) == [claimed]


async def test_a_claim_is_one_callers_until_its_lease_ends(store: Store) -> None:
    await owe(store)
    first = await claim_one(store)
    assert await claim(store, AT + LEASE_S - 1) == []
    second = await claim_one(store, AT + LEASE_S)
    assert (second.attempts, second.first_attempt_at) == (2, first.first_attempt_at)
    # The first one's claim is over, and cannot end the second one's.
    assert not await store.outbox.postpone(first, AT + 61, until=AT + 62, note="", refused=True)
    assert await claim(store, AT + 100) == []


async def test_a_young_row_is_not_due(store: Store) -> None:
    await owe(store)
    assert await claim(store, AT + 359, delay_s=360) == []
    assert len(await claim(store, AT + 361, delay_s=360)) == 1


async def test_one_row_of_a_customer_and_meter_is_claimed_at_a_time(store: Store) -> None:
    for number in range(3):
        await record(store, f"resp_{number}", images=1, at=AT + number * HOUR_S)
    await close(store)
    first = await claim(store, LATER)
    assert [each.id for each in first] == ["kx:sess_1:0:images", "kx:sess_1:0:tokens"]
    assert await claim(store, LATER) == []
    await store.outbox.accept("kx:sess_1:0:tokens", LATER)
    assert [each.id for each in await claim(store, LATER)] == ["kx:sess_1:1:tokens"]


async def test_more_rows_are_claimed_abreast(store: Store) -> None:
    for number in range(4):
        await record(store, f"resp_{number}", at=AT + number * HOUR_S)
    await close(store)
    assert len(await claim(store, LATER + HOUR_S, abreast=2)) == 2
    assert len(await claim(store, LATER + HOUR_S, abreast=3)) == 1
    assert len(await claim(store, LATER + HOUR_S, abreast=3)) == 0
    assert len(await claim(store, LATER + HOUR_S, abreast=100)) == 1


async def test_no_more_is_claimed_than_was_asked_for(store: Store) -> None:
    await record(store, images=1, detections=1)
    await close(store)
    assert len(await claim(store, limit=2)) == 2


async def test_twenty_claimers_at_once_get_a_row_once(store: Store) -> None:
    await owe(store)
    claims = await asyncio.gather(*(claim(store) for _ in range(20)))
    assert sum(len(claimed) for claimed in claims) == 1


async def test_what_is_accepted_is_not_sent_again(store: Store) -> None:
    owed = await owe(store)
    await claim(store)
    assert await store.outbox.accept(owed.id, AT + 1)
    assert not await store.outbox.accept(owed.id, AT + 2)
    assert (await row(store, owed.id)).state == "accepted"
    assert await claim(store, LATER) == []


async def test_a_postponed_row_waits(store: Store) -> None:
    owed = await owe(store)
    claimed = await claim_one(store)
    assert await store.outbox.postpone(claimed, AT + 1, until=AT + 30, note="busy", refused=False)
    assert (await row(store, owed.id)).note == "busy"
    assert await claim(store, AT + 29) == []
    assert (await claim_one(store, AT + 30)).attempts == 2


async def test_attempts_that_were_all_refused_leave_nothing_in_doubt(store: Store) -> None:
    owed = await owe(store)
    for number in range(3):
        claimed = await claim_one(store, AT + number)
        await store.outbox.postpone(claimed, AT + number, until=0, note="", refused=True)
    assert (await row(store, owed.id)).first_attempt_at is None
    assert len(await claim(store, AT + AMBIGUOUS_AFTER_S + 10)) == 1


async def test_one_unanswered_attempt_leaves_a_doubt(store: Store) -> None:
    owed = await owe(store)
    for number, refused in enumerate((True, False, True)):
        claimed = await claim_one(store, AT + number)
        await store.outbox.postpone(claimed, AT + number, until=0, note="", refused=refused)
    assert (await row(store, owed.id)).first_attempt_at == AT + 1


async def test_an_attempt_of_which_nothing_is_known_leaves_a_doubt(store: Store) -> None:
    owed = await owe(store)
    await claim_one(store)  # and its process is killed
    claimed = await claim_one(store, AT + LEASE_S)
    await store.outbox.postpone(claimed, AT + 61, until=0, note="", refused=True)
    assert (await row(store, owed.id)).first_attempt_at == AT


async def test_a_dead_row_stays_dead(store: Store) -> None:
    owed = await owe(store)
    await claim(store)
    assert await store.outbox.bury(owed.id, AT, "no such customer")
    assert not await store.outbox.bury(owed.id, AT, "again")
    assert not await store.outbox.accept(owed.id, AT)
    assert (await row(store, owed.id)).note == "no such customer"
    assert await claim(store, LATER) == []
    assert [each.id for each in await store.outbox.attention()] == [owed.id]
    assert (await store.outbox.health()).dead == 1


async def test_an_unanswered_attempt_is_not_repeated_after_23_hours(store: Store) -> None:
    owed = await owe(store)
    await store.outbox.postpone(await claim_one(store), AT, until=0, note="", refused=False)
    end = AT + AMBIGUOUS_AFTER_S
    assert await store.outbox.age(end - 1) == (0, 0)
    assert await claim(store, end) == []
    assert await store.outbox.age(end) == (1, 0)
    assert (await row(store, owed.id)).state == "ambiguous"
    assert await claim(store, end) == []
    assert (await store.outbox.health()).ambiguous == 1


async def test_an_attempt_that_is_under_way_does_not_grow_old(store: Store) -> None:
    owed = await owe(store)
    await store.outbox.postpone(await claim_one(store), AT, until=0, note="", refused=False)
    end = AT + AMBIGUOUS_AFTER_S
    await claim_one(store, end - 1)
    assert await store.outbox.age(end) == (0, 0)
    assert await store.outbox.accept(owed.id, end + 1)


async def test_an_answer_that_comes_late_ends_the_doubt(store: Store) -> None:
    owed = await owe(store)
    await claim(store)
    assert await store.outbox.age(AT + AMBIGUOUS_AFTER_S) == (1, 0)
    assert await store.outbox.accept(owed.id, AT + AMBIGUOUS_AFTER_S)


async def test_what_was_never_sent_expires_after_34_days_and_is_invoiced(store: Store) -> None:
    owed = await owe(store)
    end = owed.timestamp + EXPIRED_AFTER_S
    assert await store.outbox.age(end - 1) == (0, 0)
    assert await claim(store, end) == []
    assert await store.outbox.age(end) == (0, 1)
    assert not await store.outbox.accept(owed.id, end)
    (claimed,) = await store.outbox.claim_expired(end, lease_s=LEASE_S, limit=10)
    assert (claimed.id, claimed.state) == (owed.id, "expired")
    assert await store.outbox.claim_expired(end, lease_s=LEASE_S, limit=10) == []
    assert len(await store.outbox.claim_expired(end + LEASE_S, lease_s=1, limit=10)) == 1
    assert await store.outbox.invoice(owed.id, end, "ii_1")
    assert not await store.outbox.invoice(owed.id, end, "ii_2")
    assert (await row(store, owed.id)).note == "ii_1"
    assert await store.outbox.claim_expired(end + 2 * LEASE_S, lease_s=1, limit=10) == []


async def test_what_was_sent_without_an_answer_does_not_expire(store: Store) -> None:
    owed = await owe(store)
    late = owed.timestamp + EXPIRED_AFTER_S - 1
    await store.outbox.postpone(await claim_one(store, late), late, until=0, note="", refused=False)
    assert await store.outbox.age(late + 1) == (1, 0)
