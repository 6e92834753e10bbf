"""What every outbox must do with the segments of sessions, and with customers."""

import pytest

from metering.errors import NotFound
from metering.ledger import Recorded
from metering.outbox import EXPIRED_AFTER_S, HOUR_S, OutboxRow
from metering.store import Store
from tests.metering.outbox.owing import AT, HOUR, LATER, claim, claim_one, close, owe, record, rows


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
