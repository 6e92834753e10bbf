"""The client of Stripe's API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import stripe

API_VERSION = "2026-05-27.dahlia"
"""The version of which Stripe's own description is at hand: requests are tested against that."""
TIMEOUT_S = 10.0

Mode = Literal["test", "live"]


class WrongMode(ValueError):
    """A key for test mode where one for live mode was expected, or the other way round."""


@asynccontextmanager
async def connected(key: str, base_url: str | None = None) -> AsyncIterator[stripe.StripeClient]:
    """A client that tries everything once, until the end. `base_url` is Stripe's unless given."""
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


def check_mode(key: str, mode: Mode) -> None:
    """See that the key is one of this mode; `sk_test_…` and `rk_live_…` say which they are.

    Raises:
        WrongMode: it is of the other mode, or no secret key.
    """
    form, _, rest = key.partition("_")
    found = rest.partition("_")[0]
    if form not in {"sk", "rk"} or found not in {"test", "live"}:
        raise WrongMode("expected a secret key of Stripe's: sk_test_…, sk_live_… or rk_…")
    if found != mode:
        raise WrongMode(f"this is a key for {found} mode, and billing is set to {mode} mode")
