from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.prices import PriceBook
from metering.usage import METERS, LedgerRow, TurnUsage, ledger_rows, live_cost_micro_usd, usd
from tests.metering.samples import BOOK, micro, turn
from tests.metering.strategies import books, turns


def by_meter(usage: TurnUsage, book: PriceBook = BOOK) -> dict[str, LedgerRow]:
    return {row.meter: row for row in ledger_rows(usage, book)}


def test_a_text_turn_pays_input_and_output_alike() -> None:
    (row,) = ledger_rows(turn(input_tokens=90, output_tokens=42), BOOK)
    assert (row.meter, row.raw_units, row.billable_units) == ("tokens", 132, 132)
    assert (row.unit_price_micro_usd, row.cost_micro_usd) == (200, 26_400)
    assert (row.price_version, row.created_at) == ("2026-11-01", 1_000.5)
    assert (row.response_id, row.session_id, row.account_id) == ("resp_1", "sess_1", "acct_1")


@pytest.mark.parametrize(("tokens", "billable"), [(2, 100), (99, 100), (100, 100), (101, 101)])
def test_a_text_turn_pays_the_minimum(tokens: int, billable: int) -> None:
    rows = by_meter(turn(input_tokens=tokens - 1, cached_tokens=0, output_tokens=1))
    assert (rows["tokens"].raw_units, rows["tokens"].billable_units) == (tokens, billable)


def test_a_turn_with_an_image_pays_image_and_tokens_without_the_minimum() -> None:
    rows = by_meter(turn(input_tokens=70, output_tokens=5, images=1))
    assert rows["tokens"].billable_units == 75
    assert rows["images"].cost_micro_usd == 500_000
    assert list(rows) == ["tokens", "images"]


def test_detections_are_a_line_of_their_own_even_when_free() -> None:
    rows = by_meter(turn(images=1, detections=3))
    assert (rows["detections"].billable_units, rows["detections"].cost_micro_usd) == (3, 0)
    assert rows["tokens"] == by_meter(turn(images=1))["tokens"]


def test_the_cheaper_models_units_are_counted_apart() -> None:
    book = msgspec.structs.replace(BOOK, token_micro_usd=20, tier="fallback")
    usage = turn(input_tokens=90, output_tokens=42, images=1, detections=2)
    rows = by_meter(usage, book)
    assert list(rows) == ["fallback_tokens", "fallback_images", "fallback_detections"]
    assert rows["fallback_tokens"].cost_micro_usd == 132 * 20
    assert live_cost_micro_usd(90, 42, 1, 2, book) == sum(r.cost_micro_usd for r in rows.values())


def test_cached_tokens_cost_what_others_cost() -> None:
    assert ledger_rows(turn(cached_tokens=0), BOOK) == ledger_rows(turn(cached_tokens=90), BOOK)


@given(turns(), books)
def test_a_turn_that_generated_nothing_is_free(usage: TurnUsage, book: PriceBook) -> None:
    assert (ledger_rows(usage, book) == ()) == (usage.output_tokens == 0)


@given(turns(), books)
def test_rows_are_exact(usage: TurnUsage, book: PriceBook) -> None:
    rows = ledger_rows(usage, book)
    assert ledger_rows(usage, book) == rows
    assert [row.meter for row in rows] == [m for m in METERS if m in by_meter(usage, book)]
    for row in rows:
        assert row.cost_micro_usd == row.billable_units * row.unit_price_micro_usd
        assert row.billable_units >= row.raw_units > 0
        numbers = (row.raw_units, row.billable_units, row.unit_price_micro_usd, row.cost_micro_usd)
        assert all(type(number) is int for number in numbers)


@given(turns(), books)
def test_the_minimum_is_for_requests_without_images_only(usage: TurnUsage, book: PriceBook) -> None:
    for row in ledger_rows(usage, book):
        if usage.images or row.meter not in {"tokens", "fallback_tokens"}:
            assert row.billable_units == row.raw_units
        else:
            assert row.billable_units == max(row.raw_units, book.minimum_tokens)


@given(turns(), books)
def test_the_live_cost_ends_as_the_ledgers(usage: TurnUsage, book: PriceBook) -> None:
    live = live_cost_micro_usd(
        usage.input_tokens, usage.output_tokens, usage.images, usage.detections, book
    )
    assert live == sum(row.cost_micro_usd for row in ledger_rows(usage, book))


@given(turns(), books)
def test_the_live_cost_never_falls(usage: TurnUsage, book: PriceBook) -> None:
    def cost(output_tokens: int) -> int:
        return live_cost_micro_usd(usage.input_tokens, output_tokens, usage.images, 0, book)

    assert cost(0) == 0
    assert cost(usage.output_tokens) <= cost(usage.output_tokens + 1)


def test_a_live_text_turn_costs_the_minimum_from_its_first_token() -> None:
    assert live_cost_micro_usd(10, 1, 0, 0, BOOK) == 20_000


@pytest.mark.parametrize(
    "changes",
    [
        {"input_tokens": -1, "cached_tokens": -1},
        {"cached_tokens": -1},
        {"output_tokens": -1},
        {"images": -1},
        {"detections": -1},
        {"cached_tokens": 91},
    ],
)
def test_impossible_usage_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="resp_1"):
        turn(**changes)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0.00"),
        (1, "0.000001"),
        (26_400, "0.0264"),
        (20_000, "0.02"),
        (500_000, "0.50"),
        (1_000_000, "1.00"),
        (1_234_567_890, "1234.56789"),
        (-500_000, "-0.50"),
        (10**24 + 1, "1000000000000000000.000001"),
    ],
)
def test_dollars(amount: int, text: str) -> None:
    assert usd(amount) == text


@given(st.integers())
def test_dollars_are_exact(amount: int) -> None:
    assert len(usd(amount).partition(".")[2]) >= 2
    if abs(amount) < 10**20:  # Decimal's 28 digits
        assert micro(usd(amount)) == amount
