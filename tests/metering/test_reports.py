"""What every store must do when it sums what was used; and the look ahead."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from metering.reports import (
    DAY_S,
    RECENT_DAYS,
    Dimension,
    Month,
    UsageRow,
    projected_micro_usd,
    total,
)
from metering.store import Store
from tests.metering.samples import turn
from tests.metering.stores import record

DAY = datetime(2026, 11, 3, tzinfo=UTC).timestamp()
MONTH = Month.of(DAY)


async def use(store: Store) -> None:
    """Three turns on two days in two sessions, one of them without a key."""
    await store.ledger.open_session("sess_2", "acct_1", None, 10.0)
    await record(store, turn("resp_1", at=DAY))
    await record(store, turn("resp_2", at=DAY + DAY_S - 0.5, images=1))
    await record(store, turn("resp_3", at=DAY + DAY_S, session_id="sess_2", model="other"))


async def usage(store: Store, *by: Dimension, limit: int = 100) -> list[UsageRow]:
    return await store.reports.usage("acct_1", MONTH.start, MONTH.end, frozenset(by), limit=limit)


async def test_without_a_dimension_there_is_one_sum(store: Store) -> None:
    await use(store)
    (row,) = await usage(store)
    assert row == UsageRow(
        turns=3,
        input_tokens=270,
        cached_tokens=192,
        output_tokens=126,
        images=1,
        detections=0,
        cost_micro_usd=3 * 132 * 200 + 500_000,
    )


async def test_nothing_used_is_no_row(store: Store) -> None:
    assert await usage(store) == await usage(store, "day") == []


async def test_turns_are_summed_by_day(store: Store) -> None:
    await use(store)
    rows = await usage(store, "day")
    assert [(row.day, row.turns, row.cost_micro_usd) for row in rows] == [
        ("2026-11-03", 2, 2 * 132 * 200 + 500_000),
        ("2026-11-04", 1, 132 * 200),
    ]
    assert total(rows) == total(await usage(store))
    assert [row.day for row in await usage(store, "day", limit=1)] == ["2026-11-03"]


async def test_turns_are_summed_by_all_dimensions(store: Store) -> None:
    await use(store)
    rows = await usage(store, "day", "model", "key_id", "session_id")
    assert [(row.day, row.model, row.key_id, row.session_id, row.turns) for row in rows] == [
        ("2026-11-03", "kosmos-x", "key_1", "sess_1", 2),
        ("2026-11-04", "other", None, "sess_2", 1),
    ]


async def test_only_the_accounts_own_turns_of_the_time_count(store: Store) -> None:
    await use(store)
    day = await store.reports.usage("acct_1", DAY, DAY + DAY_S, frozenset(), limit=9)
    assert [row.turns for row in day] == [2]
    others = await store.reports.usage("acct_2", MONTH.start, MONTH.end, frozenset(), limit=9)
    assert others == []


@given(st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_month_holds_its_moments(moment: datetime) -> None:
    at = moment.timestamp()
    month = Month.of(at)
    assert month.start <= at < month.end
    assert Month.of(month.end - 1) == month
    assert Month.of(month.end).start == month.end


def test_the_rest_of_a_month_is_like_the_days_before() -> None:
    recent = RECENT_DAYS * 1000
    assert projected_micro_usd(500, recent, MONTH.start) == 500 + 30 * 1000
    assert projected_micro_usd(500, recent, MONTH.end - DAY_S) == 500 + 1000
