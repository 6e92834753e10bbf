"""Customers at Stripe, and what they subscribe to."""

import pytest
import stripe

from metering.prices import default_price_book
from metering.stripe.catalogue import set_up
from metering.stripe.customers import (
    CustomerUnusable,
    create_customer,
    require_customer,
    subscribe,
)
from tests.stripe_standin.account import Business

BOOK = default_price_book()


async def test_an_account_gets_one_customer(shop: Business, client: stripe.StripeClient) -> None:
    first = await create_customer(client, "acct_1", "Ada")
    assert await create_customer(client, "acct_1", "Ada") == first
    assert shop.stripe.catalog.customers[first]["metadata"] == {"kosmosx_account": "acct_1"}
    await require_customer(client, first)


async def test_a_customer_that_is_not_there_is_refused(client: stripe.StripeClient) -> None:
    with pytest.raises(CustomerUnusable, match="no customer 'cus_none'"):
        await require_customer(client, "cus_none")


async def subscribed(shop: Business) -> list[str]:
    (only,) = shop.stripe.catalog.subscriptions.values()
    return [item["price"]["lookup_key"] for item in only["items"]["data"]]


async def test_a_customer_subscribes_once(shop: Business, client: stripe.StripeClient) -> None:
    await set_up(client, BOOK, print)
    first = await subscribe(client, shop.customer_id, BOOK)
    assert await subscribe(client, shop.customer_id, BOOK) == first
    assert await subscribed(shop) == [
        "kosmosx_tokens_2026-11-01",
        "kosmosx_images_2026-11-01",
        "kosmosx_detections_2026-11-01",
    ]


async def test_capacity_takes_the_place_of_its_meters_price(
    shop: Business, client: stripe.StripeClient
) -> None:
    await set_up(client, BOOK, print)
    await subscribe(client, shop.customer_id, BOOK, frozenset({"tokens"}))
    assert await subscribed(shop) == [
        "kosmosx_images_2026-11-01",
        "kosmosx_detections_2026-11-01",
        "kosmosx_tokens_dedicated_month_2026-11-01",
        "kosmosx_tokens_dedicated_use_2026-11-01",
    ]


async def test_capacity_that_is_not_sold(shop: Business, client: stripe.StripeClient) -> None:
    with pytest.raises(CustomerUnusable, match="no dedicated capacity for detections"):
        await subscribe(client, shop.customer_id, BOOK, frozenset({"detections"}))


async def test_prices_that_are_not_there(shop: Business, client: stripe.StripeClient) -> None:
    with pytest.raises(CustomerUnusable, match=r"no price kosmosx_tokens_2026-11-01.*setup"):
        await subscribe(client, shop.customer_id, BOOK)
