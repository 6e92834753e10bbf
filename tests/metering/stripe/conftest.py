"""A client for Stripe's stand-in."""

from collections.abc import AsyncIterator

import pytest
import stripe

from metering.stripe.client import connected
from tests.stripe_standin.account import Business


@pytest.fixture
async def client(shop: Business) -> AsyncIterator[stripe.StripeClient]:
    async with connected(shop.stripe.key, shop.server.url) as made:
        yield made
