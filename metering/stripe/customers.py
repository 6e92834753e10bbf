"""Customers of ours at Stripe, and their subscriptions."""

import stripe

from metering.prices import PriceBook
from metering.stripe.catalogue import Price, dedicated, pay_as_you_go, price_ids
from metering.usage import Meter

ACCOUNT_KEY = "kosmosx_account"
SUBSCRIPTION_KEY = "kosmosx_prices"
ENDED = frozenset({"canceled", "incomplete_expired"})


class CustomerUnusable(Exception):
    """Stripe has no such customer, or cannot bill it as was asked."""


async def create_customer(client: stripe.StripeClient, account_id: str, name: str) -> str:
    """Make a customer for the account; one within a day, however often it is called."""
    made = await client.v1.customers.create_async(
        {"name": name, "metadata": {ACCOUNT_KEY: account_id}},
        {"idempotency_key": f"customer:{account_id}"},
    )
    return made.id


async def require_customer(client: stripe.StripeClient, customer_id: str) -> None:
    """See that there is such a customer.

    Raises:
        CustomerUnusable: there is none, or it was deleted.
    """
    try:
        found = await client.v1.customers.retrieve_async(customer_id)
    except stripe.InvalidRequestError as error:
        raise CustomerUnusable(f"Stripe has no customer '{customer_id}'") from error
    if getattr(found, "deleted", False):
        raise CustomerUnusable(f"customer '{customer_id}' was deleted at Stripe")


async def subscribe(
    client: stripe.StripeClient,
    customer_id: str,
    book: PriceBook,
    dedicated_meters: frozenset[Meter] = frozenset(),
) -> str:
    """Have the customer pay by this price book; the id of the subscription.

    One that has a subscription of ours keeps it as it is.

    Raises:
        CustomerUnusable: Stripe lacks prices, or capacity that is not sold was asked for.
    """
    listed = await client.v1.subscriptions.list_async({"customer": customer_id, "limit": 100})
    async for found in listed.auto_paging_iter():
        if hasattr(found.metadata, SUBSCRIPTION_KEY) and found.status not in ENDED:
            return found.id
    wanted = _wanted(book, dedicated_meters)
    ids = await price_ids(client, wanted)
    missing = [price.name for price in wanted if price.name not in ids]
    if missing:
        names = ", ".join(missing)
        raise CustomerUnusable(f"Stripe has no price {names}: run `kosmosx stripe setup`")
    made = await client.v1.subscriptions.create_async(
        {
            "customer": customer_id,
            "items": [
                {"price": ids[price.name], "quantity": 1}
                if price.usage == "licensed"
                else {"price": ids[price.name]}
                for price in wanted
            ],
            "metadata": {SUBSCRIPTION_KEY: book.version},
        }
    )
    return made.id


def _wanted(book: PriceBook, dedicated_meters: frozenset[Meter]) -> list[Price]:
    wanted = [price for price in pay_as_you_go(book) if price.meter not in dedicated_meters]
    for meter in sorted(dedicated_meters):
        capacity = dedicated(book, meter)
        if not capacity:
            raise CustomerUnusable(f"the price book has no dedicated capacity for {meter}")
        wanted += capacity
    return wanted
