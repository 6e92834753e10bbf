"""The client of Stripe's API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import stripe

API_VERSION = "2026-05-27.dahlia"
"""The version of which Stripe's own description is at hand: requests are tested against that."""
TIMEOUT_S = 10.0


@asynccontextmanager
async def connected(key: str, base_url: str | None) -> AsyncIterator[stripe.StripeClient]:
    """A client that tries everything once, until the end. `base_url` None is Stripe's."""
    stripe.enable_telemetry = False
    http_client = stripe.HTTPXClient(timeout=TIMEOUT_S)
    try:
        yield stripe.StripeClient(
            key,
            stripe_version=API_VERSION,
            http_client=http_client,
            base_addresses={"api": base_url, "meter_events": base_url} if base_url else {},
            max_network_retries=0,
        )
    finally:
        await http_client.close_async()  # type: ignore[no-untyped-call]
