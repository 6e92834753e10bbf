"""What Stripe has to know of us: meters, products, and the prices of a price book.

Everything has a name of ours, so that whoever sets up again finds what is there. A price never
changes: another amount needs another version of the price book.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Literal

import msgspec
import stripe

from metering.prices import Capacity, PriceBook
from metering.stripe.events import CUSTOMER_KEY, EVENT_NAMES, VALUE_KEY
from metering.stripe.invoices import MICRO_USD_PER_CENT
from metering.usage import Meter

PRODUCTS: dict[Meter, str] = {
    "tokens": "Kosmos-X text (tokens)",
    "images": "Kosmos-X images",
    "detections": "Kosmos-X object detections",
    "fallback_tokens": "Kosmos-X fallback text (tokens)",
    "fallback_images": "Kosmos-X fallback images",
    "fallback_detections": "Kosmos-X fallback object detections",
}


class CatalogueConflict(Exception):
    """Stripe has something else under one of our names; the message says what, and what to do."""


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """A monthly price. Units beyond `included_units` cost `cents` each; so do all of them at 0.

    A `licensed` price is for the month, whatever was used.
    """

    name: str
    """The lookup key, by which Stripe finds it."""
    meter: Meter
    usage: Literal["metered", "licensed"]
    cents: Decimal
    included_units: int = 0

    @property
    def product_id(self) -> str:
        return f"{EVENT_NAMES[self.meter]}{'_dedicated' if self.dedicated else ''}"

    @property
    def dedicated(self) -> bool:
        return self.usage == "licensed" or self.included_units > 0


def pay_as_you_go(book: PriceBook) -> list[Price]:
    """A price for each meter that is used; those of a cheaper model where there is one."""
    units: dict[Meter, int] = {
        "tokens": book.token_micro_usd,
        "images": book.image_micro_usd,
        "detections": book.detection_micro_usd,
    }
    if book.fallback is not None:
        units["fallback_tokens"] = book.fallback.token_micro_usd
        units["fallback_images"] = book.fallback.image_micro_usd
        units["fallback_detections"] = book.fallback.detection_micro_usd
    return [
        Price(
            name=f"{EVENT_NAMES[meter]}_{book.version}",
            meter=meter,
            usage="metered",
            cents=_cents(micro_usd),
        )
        for meter, micro_usd in units.items()
    ]


def dedicated(book: PriceBook, meter: Meter) -> list[Price]:
    """The prices of a month's capacity, and of what goes beyond; none if it is not sold."""
    capacity: Capacity | None = getattr(book.dedicated, meter, None)
    if capacity is None:
        return []
    beyond = next(price for price in pay_as_you_go(book) if price.meter == meter)
    name = f"{EVENT_NAMES[meter]}_dedicated"
    return [
        Price(
            name=f"{name}_month_{book.version}",
            meter=meter,
            usage="licensed",
            cents=_cents(capacity.monthly_micro_usd),
        ),
        Price(
            name=f"{name}_use_{book.version}",
            meter=meter,
            usage="metered",
            cents=beyond.cents,
            included_units=capacity.included_units,
        ),
    ]


def prices(book: PriceBook) -> list[Price]:
    """All prices of the book."""
    return [
        *pay_as_you_go(book),
        *(price for meter in EVENT_NAMES for price in dedicated(book, meter)),
    ]


async def set_up(
    client: stripe.StripeClient, book: PriceBook, say: Callable[[str], object]
) -> None:
    """Make what is missing, and tell it line by line. A second time changes nothing.

    Raises:
        CatalogueConflict: what is there says something else.
        stripe.StripeError: Stripe refuses, or does not answer.
    """
    meters = await _meters(client, [price.meter for price in pay_as_you_go(book)], say)
    for price in prices(book):
        await _product(client, price, say)
    known = await price_ids(client, prices(book))
    for price in prices(book):
        if price.name in known:
            say(f"there is   price {price.name}")
        else:
            await client.v1.prices.create_async(_price_params(price, meters))
            say(f"made       price {price.name}")


async def price_ids(client: stripe.StripeClient, wanted: list[Price]) -> dict[str, str]:
    """The ids of those prices that are there, by name.

    Raises:
        CatalogueConflict: one of them has another amount.
    """
    by_name = {price.name: price for price in wanted}
    found = {}
    names = list(by_name)
    for names_asked in (names[start : start + 10] for start in range(0, len(names), 10)):
        listed = await client.v1.prices.list_async(
            {"lookup_keys": names_asked, "limit": 100, "expand": ["data.tiers"]}
        )
        for each in listed.data:
            _check_price(each, by_name[str(each.lookup_key)])
            found[str(each.lookup_key)] = each.id
    return found


async def _meters(
    client: stripe.StripeClient, wanted: Sequence[Meter], say: Callable[[str], object]
) -> dict[Meter, str]:
    listed = await client.v1.billing.meters.list_async({"limit": 100})
    known = {meter.event_name: meter async for meter in listed.auto_paging_iter()}
    ids: dict[Meter, str] = {}
    for meter in wanted:
        name = EVENT_NAMES[meter]
        if name in known:
            _check_meter(known[name])
            say(f"there is   meter {name}")
            ids[meter] = known[name].id
            continue
        made = await client.v1.billing.meters.create_async(
            {
                "event_name": name,
                "display_name": PRODUCTS[meter],
                "default_aggregation": {"formula": "sum"},
                "customer_mapping": {"type": "by_id", "event_payload_key": CUSTOMER_KEY},
                "value_settings": {"event_payload_key": VALUE_KEY},
            }
        )
        say(f"made       meter {name}")
        ids[meter] = made.id
    return ids


def _check_meter(meter: stripe.billing.Meter) -> None:
    expected = ("active", "sum", CUSTOMER_KEY, VALUE_KEY)
    found = (
        meter.status,
        meter.default_aggregation.formula,
        meter.customer_mapping.event_payload_key,
        meter.value_settings.event_payload_key,
    )
    if found != expected:
        raise CatalogueConflict(
            f"meter {meter.event_name}: expected {', '.join(expected)}, Stripe has"
            f" {', '.join(found)}"
        )


async def _product(client: stripe.StripeClient, price: Price, say: Callable[[str], object]) -> None:
    try:
        await client.v1.products.retrieve_async(price.product_id)
    except stripe.InvalidRequestError as error:
        if error.http_status != 404:  # noqa: PLR2004 - Not Found
            raise
    else:
        return
    name = f"{PRODUCTS[price.meter]}{', dedicated' if price.dedicated else ''}"
    await client.v1.products.create_async({"id": price.product_id, "name": name})
    say(f"made       product {price.product_id}")


def _price_params(price: Price, meters: dict[Meter, str]) -> stripe.params.PriceCreateParams:
    params: stripe.params.PriceCreateParams = {
        "currency": "usd",
        "product": price.product_id,
        "lookup_key": price.name,
        "recurring": {"interval": "month", "usage_type": price.usage},
    }
    if price.usage == "metered":
        params["recurring"]["meter"] = meters[price.meter]
    if price.included_units:
        params["billing_scheme"] = "tiered"
        params["tiers_mode"] = "graduated"
        params["tiers"] = [
            {"up_to": price.included_units, "unit_amount_decimal": Decimal(0)},
            {"up_to": "inf", "unit_amount_decimal": price.cents},
        ]
    else:
        params["unit_amount_decimal"] = price.cents
    return params


def _check_price(found: stripe.Price, wanted: Price) -> None:
    # Only a tiered price has the field.
    tiers = [(tier.up_to, tier.unit_amount_decimal) for tier in getattr(found, "tiers", None) or ()]
    has = tiers or [(None, found.unit_amount_decimal)]
    says: list[tuple[int | None, Decimal]] = [(None, wanted.cents)]
    if wanted.included_units:
        says.insert(0, (wanted.included_units, Decimal(0)))
    if has != says:
        raise CatalogueConflict(
            f"price {wanted.name}: Stripe has {_listed(has)}, the price book says {_listed(says)};"
            " give the price book another version"
        )


def _listed(tiers: Sequence[tuple[int | None, Decimal | None]]) -> str:
    """In cents a unit."""
    return ", ".join(
        f"{amount} cents" if up_to is None else f"{amount} cents up to {up_to}"
        for up_to, amount in tiers
    )


def _cents(micro_usd: int) -> Decimal:
    return Decimal(micro_usd) / MICRO_USD_PER_CENT
