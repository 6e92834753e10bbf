"""What every outbox must do, from the cut of a segment to the verdict on an hour."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from metering.errors import NotFound
from metering.ledger import Recorded
from metering.outbox import AMBIGUOUS_AFTER_S, EXPIRED_AFTER_S, HOUR_S, OutboxRow
from metering.reconciliation import RECONCILE_AFTER_S, MeterHour
from metering.store import Store
from metering.usage import ledger_rows
from tests.metering.samples import BOOK, turn
from tests.metering.stores import OpenStore, furnish

HOUR = 500_000 * HOUR_S
"""The beginning of an hour, in Unix seconds."""
AT = HOUR + 600.5
LATER = HOUR + HOUR_S + RECONCILE_AFTER_S
LEASE_S = 60.0


@pytest.fixture
async def store(open_store: OpenStore) -> AsyncIterator[Store]:
    """A store with two accounts, the first of them linked, and an open session of each."""
    made = await open_store()
    await furnish(made)
    await made.ledger.open_session("sess_2", "acct_2", None, HOUR)
    await made.outbox.link_customer("acct_1", "cus_1", HOUR)
    yield made
    await made.close()


async def record(store: Store, response_id: str = "resp_1", **changes: object) -> Recorded:
    usage = turn(response_id, **{"at": AT, **changes})
    return await store.ledger.record_turn(usage, ledger_rows(usage, BOOK))


async def close(store: Store, number: int = 1, at: float = AT) -> None:
    await store.ledger.close_session(f"acct_{number}", f"sess_{number}", at, "client")


async def rows(store: Store, number: int = 1) -> list[OutboxRow]:
    return await store.outbox.rows(f"acct_{number}", f"sess_{number}")


async def row(store: Store, row_id: str) -> OutboxRow:
    found = {each.id: each for each in await rows(store)}
    return found[row_id]


async def claim(store: Store, now: float = AT, **options: float) -> list[OutboxRow]:
    return await store.outbox.claim(now, lease_s=LEASE_S, **{"limit": 10, **options})


async def claim_one(store: Store, now: float = AT) -> OutboxRow:
    (claimed,) = await claim(store, now)
    return claimed


async def owe(store: Store, **changes: object) -> OutboxRow:
    """A row of 132 tokens of the linked account."""
    await record(store, **changes)
    await close(store)
    (owed,) = await rows(store)
    return owed


# Segments become rows.


async def test_closing_writes_one_row_for_each_meter_with_billable_units(store: Store) -> None:
    await record(store, "resp_1", images=1, detections=2, at=AT)
    await record(store, "resp_2", at=AT + 1)
    assert await rows(store) == []
    await close(store)
    detections, images, tokens = await rows(store)
    assert tokens == OutboxRow(
        id="kx:sess_1:0:tokens",
        account_id="acct_1",
        customer_id="cus_1",
        session_id="sess_1",
        segment=0,
        meter="tokens",
        units=264,
        cost_micro_usd=52_800,
        timestamp=int(AT + 1),
    )
    assert (images.id, images.units, images.timestamp) == ("kx:sess_1:0:images", 1, int(AT))
    assert (detections.units, detections.cost_micro_usd) == (2, 0)


async def test_a_second_close_writes_nothing(store: Store) -> None:
    await record(store)
    await close(store)
    before = await rows(store)
    await close(store)
    assert await rows(store) == before
    assert len(before) == 1


async def test_a_session_without_use_owes_nothing(store: Store) -> None:
    await record(store, output_tokens=0)
    await close(store)
    assert await rows(store) == []


async def test_a_turn_of_another_hour_cuts_the_segment(store: Store) -> None:
    await record(store, "resp_1")
    await record(store, "resp_2", at=AT + HOUR_S)
    (first,) = await rows(store)
    assert (first.id, first.units, first.timestamp) == ("kx:sess_1:0:tokens", 132, int(AT))
    await record(store, "resp_3", at=AT + 1)  # it ended earlier, and is told of later
    await close(store)
    assert [(each.segment, each.timestamp - HOUR) for each in await rows(store)] == [
        (0, 600),
        (1, 600 + HOUR_S),
        (2, 601),
    ]
    assert sum(each.units for each in await rows(store)) == 3 * 132
    closed = await store.ledger.session("acct_1", "sess_1")
    assert closed.receipt is not None
    assert closed.receipt.lines[0].billable_units == 3 * 132


async def test_a_turn_that_is_told_again_cuts_nothing(store: Store) -> None:
    await record(store, "resp_1")
    await record(store, "resp_2", at=AT + HOUR_S)
    assert await record(store, "resp_1") is Recorded.AGAIN
    assert await record(store, "resp_3", output_tokens=0) is Recorded.NEW
    assert len(await rows(store)) == 1


async def test_a_segment_is_cut_when_its_hour_is_over(store: Store) -> None:
    await record(store)
    assert await store.ledger.cut_segments(HOUR + HOUR_S - 1) == 0
    assert await store.ledger.cut_segments(HOUR + HOUR_S) == 1
    assert await store.ledger.cut_segments(HOUR + HOUR_S) == 0
    assert [each.id for each in await rows(store)] == ["kx:sess_1:0:tokens"]
    await close(store)
    assert len(await rows(store)) == 1


async def test_as_many_sessions_are_cut_as_was_asked_for(store: Store) -> None:
    await record(store)
    await record(store, "resp_2", session_id="sess_2", account_id="acct_2")
    cuts = [await store.ledger.cut_segments(LATER, limit=1) for _ in range(3)]
    assert cuts == [1, 1, 0]


async def test_a_late_turn_is_owed_by_itself_and_stays_late(store: Store) -> None:
    await record(store, "resp_1")
    await close(store)
    assert await record(store, "resp_2", at=AT + 2) is Recorded.LATE
    assert await store.ledger.cut_segments(AT + 3) == 1
    assert [each.id for each in await rows(store)] == ["kx:sess_1:0:tokens", "kx:sess_1:1:tokens"]
    usage = await store.ledger.session_usage("acct_1", "sess_1")
    assert (usage.cost_micro_usd, usage.late_micro_usd) == (52_800, 26_400)


async def test_what_is_anothers_is_not_told(store: Store) -> None:
    await owe(store)
    assert await store.outbox.rows("acct_2", "sess_1") == []


# Customers.


async def test_a_row_waits_until_its_account_is_linked(store: Store) -> None:
    await record(store, session_id="sess_2", account_id="acct_2")
    await close(store, 2)
    assert await claim(store, LATER) == []
    assert await store.outbox.age(AT + 2 * EXPIRED_AFTER_S) == (0, 0)
    assert (await store.outbox.health()).unlinked == 1
    assert await store.outbox.customer("acct_2") is None
    assert await store.outbox.link_customer("acct_2", "cus_2", LATER) == 1
    assert await store.outbox.customer("acct_2") == "cus_2"
    assert (await claim_one(store, LATER)).customer_id == "cus_2"


async def test_a_row_keeps_its_customer(store: Store) -> None:
    await owe(store)
    assert await store.outbox.link_customer("acct_1", "cus_9", LATER) == 0
    assert await store.outbox.customer("acct_1") == "cus_9"
    assert (await rows(store))[0].customer_id == "cus_1"


async def test_only_an_account_is_linked(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.outbox.link_customer("acct_3", "cus_3", AT)


# Sending.


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


# Growing old.


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


# Reconciling.

THIS_HOUR = MeterHour(customer_id="cus_1", meter="tokens", hour=HOUR)


async def three(store: Store) -> list[OutboxRow]:
    """Three rows of 132 tokens in one hour, none of them sent."""
    for number in range(3):
        session_id = f"sess_1{number}"
        await store.ledger.open_session(session_id, "acct_1", None, HOUR)
        await record(store, f"resp_{number}", session_id=session_id, at=AT + number)
        await store.ledger.close_session("acct_1", session_id, AT, "client")
    found = [await store.outbox.rows("acct_1", f"sess_1{number}") for number in range(3)]
    return [each for (each,) in found]


async def in_doubt(store: Store) -> float:
    """One of the rows is accepted, the other two ambiguous; when they can be compared."""
    first, *_ = await three(store)
    await claim(store, AT + 10, abreast=3)
    await store.outbox.accept(first.id, AT + 10)
    now = AT + 10 + AMBIGUOUS_AFTER_S
    assert await store.outbox.age(now) == (2, 0)
    return now + RECONCILE_AFTER_S


async def states(store: Store) -> list[str]:
    return [
        each.state
        for number in range(3)
        for each in await store.outbox.rows("acct_1", f"sess_1{number}")
    ]


async def test_an_hour_is_compared_once_it_is_over_and_nothing_changed_for_two(
    store: Store,
) -> None:
    owed = await owe(store)
    await claim(store)
    accepted_at = LATER - RECONCILE_AFTER_S + 30
    assert await store.outbox.unreconciled(LATER, limit=10) == []
    await store.outbox.accept(owed.id, accepted_at)
    assert await store.outbox.unreconciled(LATER, limit=10) == []
    assert await store.outbox.unreconciled(LATER + 30, limit=10) == [THIS_HOUR]
    early = await store.outbox.reconcile(THIS_HOUR, 132, LATER)
    assert early.outcome == "unsettled"
    verdict = await store.outbox.reconcile(THIS_HOUR, 132, LATER + 30)
    assert (verdict.outcome, verdict.expected, verdict.missing) == ("equal", 132, 0)
    assert await store.outbox.unreconciled(LATER + 30, limit=10) == []


async def test_an_hour_is_not_over_before_its_end(store: Store) -> None:
    owed = await owe(store)
    await claim(store)
    await store.outbox.accept(owed.id, AT)
    assert await store.outbox.unreconciled(LATER - 1, limit=10) == []
    assert await store.outbox.unreconciled(LATER, limit=10) == [THIS_HOUR]


async def test_a_row_that_comes_later_opens_the_hour_again(store: Store) -> None:
    owed = await owe(store)
    await claim(store)
    await store.outbox.accept(owed.id, AT)
    await store.outbox.reconcile(THIS_HOUR, 132, LATER)
    await record(store, "resp_2")
    await store.ledger.cut_segments(LATER)
    late = await claim_one(store, LATER)
    await store.outbox.accept(late.id, LATER)
    now = LATER + RECONCILE_AFTER_S
    assert await store.outbox.unreconciled(now, limit=10) == [THIS_HOUR]
    assert (await store.outbox.reconcile(THIS_HOUR, 264, now)).outcome == "equal"


async def test_ambiguous_rows_that_arrived_are_accepted(store: Store) -> None:
    now = await in_doubt(store)
    verdict = await store.outbox.reconcile(THIS_HOUR, 3 * 132, now)
    assert (verdict.outcome, verdict.ambiguous) == ("equal", 264)
    assert await states(store) == ["accepted"] * 3


@pytest.mark.parametrize("missing", [1, 132, 264])
async def test_a_deficit_that_ambiguous_rows_explain_is_sent(store: Store, missing: int) -> None:
    now = await in_doubt(store)
    verdict = await store.outbox.reconcile(THIS_HOUR, 3 * 132 - missing, now)
    assert (verdict.outcome, verdict.missing) == ("repaired", missing)
    assert await states(store) == ["accepted", "resolved", "resolved"]
    again = await store.outbox.reconcile(THIS_HOUR, 3 * 132 - missing, now)
    assert again.outcome == "unsettled"

    repair = await claim_one(store, now)
    assert repair.id == f"kx:repair:cus_1:tokens:{HOUR}:0"
    assert (repair.units, repair.timestamp) == (missing, int(AT + 2))
    assert (repair.session_id, repair.cost_micro_usd) == (None, missing * 200)
    await store.outbox.accept(repair.id, now)
    later = now + RECONCILE_AFTER_S
    assert await store.outbox.unreconciled(later, limit=10) == [THIS_HOUR]
    assert (await store.outbox.reconcile(THIS_HOUR, 3 * 132, later)).outcome == "equal"
    assert await store.outbox.unreconciled(later, limit=10) == []


async def test_a_repair_without_an_answer_is_repaired_in_turn(store: Store) -> None:
    now = await in_doubt(store)
    await store.outbox.reconcile(THIS_HOUR, 132, now)
    await claim_one(store, now)
    now += AMBIGUOUS_AFTER_S
    assert await store.outbox.age(now) == (1, 0)
    now += RECONCILE_AFTER_S
    verdict = await store.outbox.reconcile(THIS_HOUR, 132, now)
    assert (verdict.outcome, verdict.expected, verdict.missing) == ("repaired", 3 * 132, 264)
    repair = await claim_one(store, now)
    assert (repair.id, repair.units) == (f"kx:repair:cus_1:tokens:{HOUR}:1", 264)


async def test_a_repair_that_comes_too_late_is_invoiced(store: Store) -> None:
    await in_doubt(store)
    now = HOUR + EXPIRED_AFTER_S + HOUR_S
    await store.outbox.reconcile(THIS_HOUR, 132, now)
    assert await store.outbox.age(now) == (0, 1)
    (repair,) = await store.outbox.claim_expired(now, lease_s=1, limit=1)
    assert (repair.units, repair.cost_micro_usd) == (264, 52_800)
    await store.outbox.invoice(repair.id, now, "ii_1")
    later = now + RECONCILE_AFTER_S
    verdict = await store.outbox.reconcile(THIS_HOUR, 132, later)
    assert (verdict.outcome, verdict.expected) == ("equal", 132)


@pytest.mark.parametrize("found", [131, 3 * 132 + 1])
async def test_any_other_difference_changes_nothing_and_shows(store: Store, found: int) -> None:
    now = await in_doubt(store)
    verdict = await store.outbox.reconcile(THIS_HOUR, found, now)
    assert verdict.outcome == "mismatch"
    assert await states(store) == ["accepted", "ambiguous", "ambiguous"]
    health = await store.outbox.health()
    assert (health.mismatched_hours, health.mismatched_units) == (1, abs(3 * 132 - found))
    assert await store.outbox.unreconciled(now, limit=10) == [THIS_HOUR]
    await store.outbox.reconcile(THIS_HOUR, 3 * 132, now)
    assert (await store.outbox.health()).mismatched_hours == 0


async def test_units_that_no_doubt_explains_are_not_sent_again(store: Store) -> None:
    owed = await owe(store)
    await claim(store)
    await store.outbox.accept(owed.id, AT)
    assert (await store.outbox.reconcile(THIS_HOUR, 131, LATER)).outcome == "mismatch"
    assert await claim(store, LATER) == []


async def test_hours_that_were_never_compared_come_first(store: Store) -> None:
    for number in range(3):
        await record(store, f"resp_{number}", at=AT + number * HOUR_S)
    await close(store)
    for each in await claim(store, AT + 3 * HOUR_S, abreast=3):
        await store.outbox.accept(each.id, AT)
    now = LATER + 3 * HOUR_S

    async def first() -> int:
        (hour,) = await store.outbox.unreconciled(now, limit=1)
        return (hour.hour - HOUR) // HOUR_S

    assert await first() == 0
    await store.outbox.reconcile(THIS_HOUR, 0, now)
    assert await first() == 1


async def test_health_tells_how_old_the_oldest_unsent_use_is(store: Store) -> None:
    idle = await store.outbox.health()
    assert (idle.pending, idle.oldest_pending_at) == (0, None)
    owed = await owe(store)
    busy = await store.outbox.health()
    assert (busy.pending, busy.oldest_pending_at) == (1, owed.timestamp)
