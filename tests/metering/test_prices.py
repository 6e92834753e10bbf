from typing import get_args

import msgspec
import pytest

from metering.plans import Plan, PlanName
from metering.prices import Capacity, Dedicated, PriceBook, PricesInvalid, default_price_book
from tests.metering.samples import BOOK

FIELDS = {
    "version": '"2026-11-01"',
    "token_micro_usd": "200",
    "image_micro_usd": "500_000",
    "detection_micro_usd": "0",
    "minimum_tokens": "100",
}


def toml(fields: dict[str, str]) -> bytes:
    return "\n".join(f"{name} = {value}" for name, value in fields.items()).encode()


def test_the_bundled_prices_are_the_published_ones() -> None:
    book = default_price_book()
    assert msgspec.structs.replace(book, dedicated=Dedicated(), plans={}) == BOOK
    assert set(book.plans) == set(get_args(PlanName))
    assert book.dedicated == Dedicated(
        tokens=Capacity(monthly_micro_usd=150_000_000_000, included_units=50_000_000),
        images=Capacity(monthly_micro_usd=200_000_000_000, included_units=1_000_000),
    )


def test_a_price_book_is_read_from_toml() -> None:
    assert PriceBook.load(toml(FIELDS)) == BOOK


@pytest.mark.parametrize("name", FIELDS)
def test_a_missing_field_is_named(name: str) -> None:
    fields = {other: value for other, value in FIELDS.items() if other != name}
    with pytest.raises(PricesInvalid, match=f"missing required field `{name}`"):
        PriceBook.load(toml(fields))


@pytest.mark.parametrize("name", [name for name in FIELDS if name != "version"])
@pytest.mark.parametrize("value", ["-1", "0.5", "200.0", "true", '"200"', "10_000_000_000", "nan"])
def test_what_is_no_amount_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(PricesInvalid, match=rf"\$\.{name}"):
        PriceBook.load(toml({**FIELDS, name: value}))


@pytest.mark.parametrize("version", ['""', '"two words"', "2026-11-01", '"a\\nb"', '"a\\n"'])
def test_a_version_is_one_short_word(version: str) -> None:
    with pytest.raises(PricesInvalid, match=r"\$\.version"):
        PriceBook.load(toml({**FIELDS, "version": version}))


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(PricesInvalid, match="unknown field `audio_micro_usd`"):
        PriceBook.load(toml({**FIELDS, "audio_micro_usd": "1"}))


@pytest.mark.parametrize("data", [b"token = [", b"\xff\xfe", b"a = 1\na = 2"])
def test_what_is_no_toml_is_refused(data: bytes) -> None:
    with pytest.raises(PricesInvalid, match="price book"):
        PriceBook.load(data)


@pytest.mark.parametrize(
    ("capacity", "field"),
    [
        ("included_units = 5", "missing required field `monthly_micro_usd` - at `$.dedicated.tok"),
        ("monthly_micro_usd = 5", "missing required field `included_units` - at `$.dedicated.tok"),
        ("monthly_micro_usd = -5\nincluded_units = 5", r"\$.dedicated.tokens.monthly_micro_usd"),
        ("monthly_micro_usd = 5\nincluded_units = 0", r"\$.dedicated.tokens.included_units"),
        ("monthly_micro_usd = 5\nincluded_units = 5\nuse = 1", "unknown field `use`"),
    ],
)
def test_what_is_wrong_with_a_capacity_is_named(capacity: str, field: str) -> None:
    with pytest.raises(PricesInvalid, match=field.replace("- at `$", r"- at `\$")):
        PriceBook.load(toml(FIELDS) + f"\n[dedicated.tokens]\n{capacity}".encode())


def test_capacity_of_an_unknown_meter_is_refused() -> None:
    with pytest.raises(PricesInvalid, match="unknown field `audio`"):
        PriceBook.load(toml(FIELDS) + b"\n[dedicated.audio]\nmonthly_micro_usd = 5")


def test_plans_are_read_and_a_bad_one_is_named() -> None:
    book = PriceBook.load(toml(FIELDS) + b"\n[plans.basic]\nrequests_per_minute = 5")
    assert book.plan("basic") == Plan(requests_per_minute=5)
    assert book.plan("premium") == Plan()
    for bad, named in [
        (b"[plans.gold]", "plans"),
        (b"[plans.basic]\nrequests_per_minute = 0", r"\.requests_per_minute"),
        (b"[plans.basic]\nrequests = 5", "requests"),
    ]:
        with pytest.raises(PricesInvalid, match=named):
            PriceBook.load(toml(FIELDS) + b"\n" + bad)


FALLBACK = """
[fallback]
token_micro_usd = {token}
image_micro_usd = 50_000
"""


def test_the_cheaper_model_has_prices_of_its_own_under_the_same_version() -> None:
    book = PriceBook.load(toml(FIELDS) + FALLBACK.format(token=20).encode())
    cheaper = book.of_fallback()
    assert cheaper is not None
    assert (cheaper.version, cheaper.token_micro_usd) == (book.version, 20)
    assert (cheaper.tier, cheaper.of_fallback(), BOOK.of_fallback()) == ("fallback", None, None)


def test_a_fallback_that_is_dearer_is_refused_by_name() -> None:
    with pytest.raises(PricesInvalid, match=r"fallback\.token_micro_usd: expected at most 200"):
        PriceBook.load(toml(FIELDS) + FALLBACK.format(token=201).encode())


def test_a_file_does_not_say_whose_prices_its_main_ones_are() -> None:
    with pytest.raises(PricesInvalid, match="tier"):
        PriceBook.load(toml({**FIELDS, "tier": '"fallback"'}))
