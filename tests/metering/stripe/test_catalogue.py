"""Stripe gets our meters, products and prices once."""

from decimal import Decimal

import msgspec
import pytest
import stripe

from metering.prices import Dedicated, Fallback, default_price_book
from metering.stripe.catalogue import (
    CatalogueConflict,
    Price,
    dedicated,
    pay_as_you_go,
    price_ids,
    prices,
    set_up,
)
from tests.stripe_standin.account import Business

BOOK = default_price_book()


@pytest.fixture(autouse=True)
def empty(shop: Business) -> None:
    shop.stripe.meters.meters.clear()


async def make(client: stripe.StripeClient, **changes: object) -> list[str]:
    said: list[str] = []
    await set_up(client, msgspec.structs.replace(BOOK, **changes), said.append)
    return said


def test_the_published_prices_in_cents() -> None:
    assert {price.meter: price.cents for price in pay_as_you_go(BOOK)} == {
        "tokens": Decimal("0.02"),
        "images": Decimal(50),
        "detections": Decimal(0),
    }
    month, use = dedicated(BOOK, "tokens")
    assert (month.usage, month.cents) == ("licensed", Decimal(15_000_000))
    assert (use.included_units, use.cents) == (50_000_000, Decimal("0.02"))
    assert dedicated(BOOK, "detections") == []


def test_all_names_are_different() -> None:
    assert len({price.name for price in prices(BOOK)}) == len(prices(BOOK)) == 7


async def test_a_cheaper_model_has_meters_of_its_own(
    shop: Business, client: stripe.StripeClient
) -> None:
    await make(client, fallback=Fallback(token_micro_usd=20, image_micro_usd=50_000))
    names = {meter["event_name"] for meter in shop.stripe.meters.meters.values()}
    assert len(names) == 6
    (price,) = [
        price
        for price in shop.stripe.catalog.prices.values()
        if price["lookup_key"] == "kosmosx_fallback_tokens_2026-11-01"
    ]
    assert Decimal(price["unit_amount_decimal"]) == Decimal("0.002")


async def test_everything_is_made(shop: Business, client: stripe.StripeClient) -> None:
    await make(client)
    catalog = shop.stripe.catalog
    assert {meter["event_name"] for meter in shop.stripe.meters.meters.values()} == {
        "kosmosx_tokens",
        "kosmosx_images",
        "kosmosx_detections",
    }
    assert set(catalog.products) == {
        "kosmosx_tokens",
        "kosmosx_images",
        "kosmosx_detections",
        "kosmosx_tokens_dedicated",
        "kosmosx_images_dedicated",
    }
    by_name = {price["lookup_key"]: price for price in catalog.prices.values()}
    tokens = by_name["kosmosx_tokens_2026-11-01"]
    assert tokens["unit_amount_decimal"] == "0.02"
    assert tokens["recurring"]["usage_type"] == "metered"
    month = by_name["kosmosx_images_dedicated_month_2026-11-01"]
    assert (month["unit_amount"], month["recurring"]["meter"]) == (20_000_000, None)
    use = by_name["kosmosx_images_dedicated_use_2026-11-01"]
    assert [(tier["up_to"], tier["unit_amount_decimal"]) for tier in use["tiers"]] == [
        (1_000_000, "0"),
        (None, "50"),
    ]


async def test_a_second_time_changes_nothing(shop: Business, client: stripe.StripeClient) -> None:
    await make(client)
    before = len(shop.stripe.requests)
    assert all(line.startswith("there is") for line in await make(client))
    assert {request.method for request in shop.stripe.requests[before:]} == {"GET"}


async def test_what_is_missing_is_made(shop: Business, client: stripe.StripeClient) -> None:
    await make(client)
    shop.stripe.catalog.prices.popitem()
    shop.stripe.meters.meters.popitem()
    said = await make(client)
    assert sum(line.startswith("made") for line in said) == 2


async def test_another_version_gets_prices_of_its_own(
    shop: Business, client: stripe.StripeClient
) -> None:
    await make(client)
    await make(client, version="2027-01-01", token_micro_usd=300)
    assert len(shop.stripe.catalog.prices) == 14
    assert len(shop.stripe.catalog.products) == 5


async def test_a_changed_price_under_the_same_version_is_refused_by_name(
    client: stripe.StripeClient,
) -> None:
    await make(client)
    with pytest.raises(
        CatalogueConflict,
        match=r"price kosmosx_tokens_2026-11-01: Stripe has 0.02 cents, the price book says 0.03",
    ):
        await make(client, token_micro_usd=300)


async def test_a_changed_capacity_is_refused_by_name(client: stripe.StripeClient) -> None:
    await make(client)
    images = msgspec.structs.replace(BOOK.dedicated.images, included_units=5)
    changed = Dedicated(tokens=BOOK.dedicated.tokens, images=images)
    with pytest.raises(CatalogueConflict, match="0 cents up to 1000000, 50 cents, the price book"):
        await make(client, dedicated=changed)


async def test_a_meter_that_counts_otherwise_is_refused_by_name(
    shop: Business, client: stripe.StripeClient
) -> None:
    await make(client)
    for meter in shop.stripe.meters.meters.values():
        meter["default_aggregation"] = {"formula": "last"}
    with pytest.raises(CatalogueConflict, match="meter kosmosx_tokens: expected active, sum"):
        await make(client)


async def test_ids_are_found_by_name(client: stripe.StripeClient) -> None:
    await make(client)
    unknown = Price(name="other", meter="tokens", usage="metered", cents=Decimal(1))
    assert set(await price_ids(client, [*prices(BOOK), unknown])) == {
        price.name for price in prices(BOOK)
    }
