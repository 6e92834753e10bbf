"""What every store must do with sessions, turns and receipts."""

import asyncio

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metering.errors import NotFound, SessionClosed
from metering.ledger import Closing, Recorded, SessionUsage
from metering.prices import PriceBook
from metering.receipt import receipt
from metering.store import Store
from metering.usage import TurnUsage, ledger_rows
from tests.metering.samples import BOOK, turn
from tests.metering.stores import OpenStore, furnish, record
from tests.metering.strategies import books, several_turns


async def test_a_session_is_opened_once(store: Store) -> None:
    opened = await store.ledger.session("acct_1", "sess_1")
    assert (opened.state, opened.key_id) == ("open", "key_1")
    assert (opened.opened_at, opened.last_seen_at) == (10.0, 10.0)
    assert (opened.closed_at, opened.close_reason, opened.receipt) == (None, None, None)
    assert await store.ledger.open_session("sess_1", "acct_1", "key_1", 20.0) == opened


async def test_a_session_keeps_its_metadata(store: Store) -> None:
    opened = await store.ledger.open_session("sess_2", "acct_1", None, 1.0, metadata={"who": "Ada"})
    assert opened.metadata == {"who": "Ada"}
    assert await store.ledger.session("acct_1", "sess_2") == opened
    assert (await store.ledger.session("acct_1", "sess_1")).metadata == {}


async def test_a_session_needs_no_key(store: Store) -> None:
    assert (await store.ledger.open_session("sess_2", "acct_1", None, 1.0)).key_id is None


async def test_opening_a_closed_session_shows_it_closed(store: Store) -> None:
    closed = await store.ledger.close_session("acct_1", "sess_1", 20.0, "client")
    assert await store.ledger.open_session("sess_1", "acct_1", "key_1", 30.0) == closed


@pytest.mark.parametrize(
    ("session_id", "account_id", "key_id"),
    [
        ("sess_1", "acct_2", "key_2"),  # another's session
        ("sess_2", "acct_3", None),  # no such account
        ("sess_2", "acct_1", "key_3"),  # no such key
        ("sess_2", "acct_1", "key_2"),  # another's key
    ],
)
async def test_a_session_is_not_opened_with_what_is_anothers(
    store: Store, session_id: str, account_id: str, key_id: str | None
) -> None:
    with pytest.raises(NotFound):
        await store.ledger.open_session(session_id, account_id, key_id, 20.0)
    with pytest.raises(NotFound):
        await store.ledger.session(account_id, session_id)


@pytest.mark.parametrize("owner", [("acct_2", "sess_1"), ("acct_1", "sess_2")])
async def test_what_is_anothers_is_not_found(store: Store, owner: tuple[str, str]) -> None:
    account_id, session_id = owner
    foreign = turn(account_id=account_id, session_id=session_id)
    for attempt in (
        store.ledger.session(account_id, session_id),
        store.ledger.session_usage(account_id, session_id),
        store.ledger.rows(account_id, session_id),
        store.ledger.touch(account_id, session_id, 20.0),
        store.ledger.close_session(account_id, session_id, 20.0, "client"),
        store.ledger.list_sessions(account_id, after=session_id),
        record(store, foreign),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert (await store.ledger.session("acct_1", "sess_1")).last_seen_at == 10.0
    assert await store.ledger.rows("acct_1", "sess_1") == []


async def test_sessions_are_listed_newest_first_in_pages(store: Store) -> None:
    for number, at in ((2, 20.0), (3, 20.0), (4, 30.0), (5, 5.0)):
        await store.ledger.open_session(f"sess_{number}", "acct_1", None, at)
    await store.ledger.open_session("sess_6", "acct_2", None, 25.0)

    async def page(after: str | None) -> list[str]:
        return [s.id for s in await store.ledger.list_sessions("acct_1", limit=2, after=after)]

    assert await page(None) == ["sess_4", "sess_3"]
    assert await page("sess_3") == ["sess_2", "sess_1"]
    assert await page("sess_1") == ["sess_5"]
    assert await page("sess_5") == []
    assert len(await store.ledger.list_sessions("acct_1")) == 5
    await store.ledger.close_session("acct_1", "sess_3", 40.0, "client")
    closed = await store.ledger.list_sessions("acct_1", state="closed")
    assert [session.id for session in closed] == ["sess_3"]
    still_open = await store.ledger.list_sessions("acct_1", state="open", after="sess_3")
    assert {session.state for session in still_open} == {"open"}
    assert "sess_3" not in {session.id for session in still_open}
    assert await store.ledger.list_sessions("acct_3") == []


async def test_open_sessions_are_counted(store: Store) -> None:
    await store.ledger.open_session("sess_2", "acct_1", None, 11.0)
    await store.ledger.open_session("sess_3", "acct_2", None, 11.0)
    assert await store.ledger.open_sessions("acct_1") == 2
    await store.ledger.close_session("acct_1", "sess_1", 12.0, "client")
    assert await store.ledger.open_sessions("acct_1") == 1


async def test_touching_moves_last_seen_forward_only(store: Store) -> None:
    await store.ledger.touch("acct_1", "sess_1", 30.0)
    await store.ledger.touch("acct_1", "sess_1", 20.0)
    assert (await store.ledger.session("acct_1", "sess_1")).last_seen_at == 30.0


async def test_a_closed_session_takes_no_more_turns(store: Store) -> None:
    closed = await store.ledger.close_session("acct_1", "sess_1", 20.0, "client")
    with pytest.raises(SessionClosed):
        await store.ledger.touch("acct_1", "sess_1", 30.0)
    assert await store.ledger.session("acct_1", "sess_1") == closed


async def test_idle_sessions_are_the_open_ones_not_seen_since(store: Store) -> None:
    for number, at in ((2, 5.0), (3, 20.0), (4, 1.0)):
        await store.ledger.open_session(f"sess_{number}", "acct_2", None, at)
    await store.ledger.close_session("acct_2", "sess_4", 2.0, "client")
    assert [s.id for s in await store.ledger.idle_sessions(20.0)] == ["sess_2", "sess_1"]
    assert [s.id for s in await store.ledger.idle_sessions(20.0, limit=1)] == ["sess_2"]
    assert [s.id for s in await store.ledger.idle_sessions(10.0)] == ["sess_2"]


async def test_a_turn_is_recorded_with_its_rows(store: Store) -> None:
    usage = turn(images=1, detections=2, at=50.0)
    assert await record(store, usage) is Recorded.NEW
    assert await store.ledger.rows("acct_1", "sess_1") == list(ledger_rows(usage, BOOK))
    assert (await store.ledger.session("acct_1", "sess_1")).last_seen_at == 50.0


async def test_a_second_call_changes_nothing(store: Store) -> None:
    await record(store, turn())
    before = (
        await store.ledger.rows("acct_1", "sess_1"),
        await store.ledger.session_usage("acct_1", "sess_1"),
    )
    assert not await record(store, turn())
    assert not await record(store, turn(output_tokens=9_999, images=3))
    after = (
        await store.ledger.rows("acct_1", "sess_1"),
        await store.ledger.session_usage("acct_1", "sess_1"),
    )
    assert after == before


async def test_a_free_turn_is_remembered_too(store: Store) -> None:
    usage = turn(output_tokens=0)
    assert await record(store, usage) is Recorded.NEW
    assert await record(store, usage) is Recorded.AGAIN
    assert await store.ledger.rows("acct_1", "sess_1") == []
    assert await store.ledger.session_usage("acct_1", "sess_1") == SessionUsage(
        turns=1,
        input_tokens=90,
        cached_tokens=64,
        output_tokens=0,
        images=0,
        detections=0,
        cost_micro_usd=0,
        late_micro_usd=0,
    )


async def test_rows_of_another_turn_are_refused(store: Store) -> None:
    for other in (turn("resp_2"), turn(session_id="sess_2"), turn(account_id="acct_2")):
        with pytest.raises(ValueError, match="not a row of resp_1"):
            await store.ledger.record_turn(turn(), ledger_rows(other, BOOK))
    assert (await store.ledger.session_usage("acct_1", "sess_1")).turns == 0


async def test_twenty_callers_at_once_record_a_turn_once(store: Store) -> None:
    verdicts = await asyncio.gather(*(record(store, turn()) for _ in range(20)))
    assert sorted(verdicts) == [Recorded.AGAIN] * 19 + [Recorded.NEW]


async def test_sums_beyond_53_bits_are_exact(store: Store) -> None:
    dear = msgspec.structs.replace(BOOK, token_micro_usd=1_000_000_000)
    for number in range(3):
        usage = turn(f"resp_{number}", output_tokens=100_000_001 - 90)
        await record(store, usage, dear)
    usage_sums = await store.ledger.session_usage("acct_1", "sess_1")
    assert usage_sums.cost_micro_usd == 3 * 100_000_001 * 1_000_000_000
    closed = await store.ledger.close_session("acct_1", "sess_1", 9.0, "client")
    assert closed.receipt is not None
    assert closed.receipt.total_usd == "300000003000.00"


async def test_closing_stores_the_receipt(store: Store) -> None:
    await record(store, turn("resp_1"))
    await record(store, turn("resp_2", images=1))
    closed = await store.ledger.close_session("acct_1", "sess_1", 60.0, "client")
    assert (closed.state, closed.closed_at, closed.close_reason) == ("closed", 60.0, "client")
    assert closed.receipt == receipt(await store.ledger.rows("acct_1", "sess_1"))
    assert closed.receipt is not None
    assert closed.receipt.total_usd == "0.5528"
    assert await store.ledger.session("acct_1", "sess_1") == closed


async def test_a_turn_can_close_its_session(store: Store) -> None:
    await record(store, turn("resp_1"))
    last, closing = turn("resp_2", images=1), Closing(60.0, "finished")
    rows = ledger_rows(last, BOOK)
    assert await store.ledger.record_turn(last, rows, closing) is Recorded.NEW
    closed = await store.ledger.session("acct_1", "sess_1")
    assert (closed.state, closed.closed_at, closed.close_reason) == ("closed", 60.0, "finished")
    assert closed.receipt == receipt(await store.ledger.rows("acct_1", "sess_1"))
    assert (await store.ledger.session_usage("acct_1", "sess_1")).late_micro_usd == 0
    again = Closing(99.0, "again")
    assert await store.ledger.record_turn(last, rows, again) is Recorded.AGAIN
    assert await store.ledger.session("acct_1", "sess_1") == closed


async def test_a_turn_that_was_recorded_can_close_its_session(store: Store) -> None:
    await record(store, turn())
    rows = ledger_rows(turn(), BOOK)
    again = await store.ledger.record_turn(turn(), rows, Closing(60.0, "finished"))
    assert again is Recorded.AGAIN
    closed = await store.ledger.session("acct_1", "sess_1")
    assert closed.receipt == receipt(rows)


async def test_a_second_close_returns_the_stored_receipt(store: Store) -> None:
    await record(store, turn())
    closed = await store.ledger.close_session("acct_1", "sess_1", 60.0, "client")
    assert await store.ledger.close_session("acct_1", "sess_1", 99.0, "idle") == closed


async def test_a_session_without_use_gets_an_empty_receipt(store: Store) -> None:
    closed = await store.ledger.close_session("acct_1", "sess_1", 60.0, "client")
    assert closed.receipt == receipt([])


async def test_twenty_closers_at_once_get_one_receipt(store: Store) -> None:
    await record(store, turn())
    closes = (
        store.ledger.close_session("acct_1", "sess_1", float(n), f"by {n}") for n in range(20)
    )
    first, *rest = await asyncio.gather(*closes)
    assert all(other == first for other in rest)


async def test_a_sweeper_leaves_a_session_that_was_touched_meanwhile(store: Store) -> None:
    (idle,) = await store.ledger.idle_sessions(20.0)
    await store.ledger.touch("acct_1", "sess_1", 20.0)
    left = await store.ledger.close_session("acct_1", idle.id, 21.0, "idle", idle_before=20.0)
    assert left.state == "open"
    closed = await store.ledger.close_session("acct_1", idle.id, 31.0, "idle", idle_before=30.0)
    assert closed.state == "closed"
    again = await store.ledger.close_session("acct_1", idle.id, 41.0, "idle", idle_before=0.0)
    assert again == closed


async def test_a_late_turn_is_kept_beside_the_receipt(store: Store) -> None:
    await record(store, turn("resp_1"))
    closed = await store.ledger.close_session("acct_1", "sess_1", 60.0, "client")
    late = turn("resp_2", images=1)
    assert await record(store, late) is Recorded.LATE
    assert await record(store, late) is Recorded.AGAIN
    usage = await store.ledger.session_usage("acct_1", "sess_1")
    assert usage.late_micro_usd == sum(row.cost_micro_usd for row in ledger_rows(late, BOOK))
    assert usage.cost_micro_usd - usage.late_micro_usd == 26_400
    again = await store.ledger.close_session("acct_1", "sess_1", 70.0, "client")
    assert again.receipt == closed.receipt
    assert again.segment == closed.segment == 1


# Each example opens an empty store of its own.
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(several_turns(), books, st.data())
async def test_any_turns_in_any_order_and_number_give_the_same_books(
    open_store: OpenStore, turns: list[TurnUsage], book: PriceBook, data: st.DataObject
) -> None:
    """Repeated, reordered and concurrent settlements: the sums are those of the set of turns."""
    repeated = data.draw(st.permutations(turns + turns))
    store = await open_store()
    await furnish(store)
    verdicts = await asyncio.gather(*(record(store, usage, book) for usage in repeated))
    rows = [row for usage in turns for row in ledger_rows(usage, book)]
    sums = await store.ledger.session_usage("acct_1", "sess_1")
    closed = await store.ledger.close_session("acct_1", "sess_1", 3e9, "client")
    stored = await store.ledger.rows("acct_1", "sess_1")
    await store.close()
    assert sorted(verdicts) == [Recorded.AGAIN] * len(turns) + [Recorded.NEW] * len(turns)
    assert sorted(map(repr, stored)) == sorted(map(repr, rows))
    assert closed.receipt == receipt(rows)
    assert sums.cost_micro_usd == sum(row.cost_micro_usd for row in rows)
    assert sums.late_micro_usd == 0
    assert (sums.turns, sums.images) == (len(turns), sum(usage.images for usage in turns))
    assert sums.total_tokens == sum(usage.input_tokens + usage.output_tokens for usage in turns)
    assert sums.cached_tokens == sum(usage.cached_tokens for usage in turns)
    assert sums.detections == sum(usage.detections for usage in turns)
