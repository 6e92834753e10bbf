import msgspec
from hypothesis import given
from hypothesis import strategies as st

from metering.prices import PriceBook
from metering.receipt import Receipt, ReceiptLine, receipt
from metering.usage import LedgerRow, TurnUsage, ledger_rows
from tests.metering.samples import BOOK, micro, turn
from tests.metering.strategies import books, several_turns


@st.composite
def ledgers(draw: st.DrawFn) -> list[LedgerRow]:
    """Rows of some turns, each under one of two price books."""
    choice = st.sampled_from(draw(st.lists(books, min_size=1, max_size=2)))
    usages: list[TurnUsage] = draw(several_turns())
    return [row for usage in usages for row in ledger_rows(usage, draw(choice))]


def rows_of(*usages: TurnUsage, book: PriceBook = BOOK) -> list[LedgerRow]:
    return [row for usage in usages for row in ledger_rows(usage, book)]


def test_a_session_of_text_and_image_turns() -> None:
    rows = rows_of(
        turn("resp_1", input_tokens=20, cached_tokens=0, output_tokens=5),
        turn("resp_2", input_tokens=90, output_tokens=42),
        turn("resp_3", input_tokens=70, output_tokens=5, images=1, detections=2),
    )
    version = "2026-11-01"
    assert receipt(rows) == Receipt(
        lines=(
            ReceiptLine(
                meter="tokens",
                units=232,
                billable_units=307,
                unit_price_usd="0.0002",
                amount_usd="0.0614",
                price_version=version,
            ),
            ReceiptLine(
                meter="images",
                units=1,
                billable_units=1,
                unit_price_usd="0.50",
                amount_usd="0.50",
                price_version=version,
            ),
            ReceiptLine(
                meter="detections",
                units=2,
                billable_units=2,
                unit_price_usd="0.00",
                amount_usd="0.00",
                price_version=version,
            ),
        ),
        total_usd="0.5614",
        price_version=version,
    )


def test_a_session_without_use() -> None:
    assert receipt([]) == Receipt(lines=(), total_usd="0.00", price_version=None)


def test_a_change_of_prices_gives_lines_for_each_version() -> None:
    dearer = msgspec.structs.replace(BOOK, version="2026-10-raise", token_micro_usd=300)
    rows = [
        *rows_of(turn("resp_2", at=20.0), book=dearer),
        *rows_of(turn("resp_1", at=10.0), turn("resp_3", at=30.0)),
    ]
    made = receipt(rows)
    assert [(line.price_version, line.billable_units) for line in made.lines] == [
        ("2026-11-01", 264),
        ("2026-10-raise", 132),
    ]
    # The newest is the one that came into use last, whatever its name.
    assert made.price_version == "2026-10-raise"
    assert made.total_usd == "0.0924"


def test_a_price_that_changed_under_one_version_is_not_averaged() -> None:
    edited = msgspec.structs.replace(BOOK, token_micro_usd=300)
    made = receipt([*rows_of(turn("resp_1")), *rows_of(turn("resp_2"), book=edited)])
    assert [line.unit_price_usd for line in made.lines] == ["0.0002", "0.0003"]


@given(ledgers())
def test_the_total_is_the_sum_of_the_rows_and_of_the_lines(rows: list[LedgerRow]) -> None:
    made = receipt(rows)
    assert micro(made.total_usd) == sum(row.cost_micro_usd for row in rows)
    assert micro(made.total_usd) == sum(micro(line.amount_usd) for line in made.lines)


@given(ledgers())
def test_every_line_multiplies_out(rows: list[LedgerRow]) -> None:
    for line in receipt(rows).lines:
        assert micro(line.amount_usd) == line.billable_units * micro(line.unit_price_usd)


@given(ledgers(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(rows: list[LedgerRow], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert receipt(shuffled) == receipt(rows)


@given(ledgers())
def test_a_receipt_survives_json_and_holds_no_float(rows: list[LedgerRow]) -> None:
    made = receipt(rows)
    data = msgspec.json.encode(made)
    assert msgspec.json.decode(data, type=Receipt) == made
    for line in msgspec.json.decode(data)["lines"]:
        assert not any(isinstance(value, float) for value in line.values())
