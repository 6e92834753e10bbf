"""What every outbox must do with the hours that were sent."""

import pytest

from metering.outbox import AMBIGUOUS_AFTER_S, EXPIRED_AFTER_S, HOUR_S, OutboxRow
from metering.reconciliation import RECONCILE_AFTER_S, MeterHour
from metering.store import Store
from tests.metering.outbox.owing import AT, HOUR, LATER, claim, claim_one, close, owe, record

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
