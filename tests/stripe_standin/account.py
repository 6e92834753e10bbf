"""A stand-in with what our setup would have made there, and a customer."""

from collections.abc import Iterator
from contextlib import contextmanager

from metering.stripe.events import CUSTOMER_KEY, EVENT_NAMES, VALUE_KEY
from tests.stripe_standin.app import StripeStandin
from tests.stripe_standin.server import Clock, StandinServer

NOW = 1_800_000_000.0
"""The beginning of an hour."""


def furnish(stripe: StripeStandin) -> str:
    """Make a meter of each kind; the id of a new customer."""
    for name in EVENT_NAMES.values():
        stripe.meters.create_meter(
            {
                "customer_mapping": {"type": "by_id", "event_payload_key": CUSTOMER_KEY},
                "default_aggregation": {"formula": "sum"},
                "display_name": name,
                "event_name": name,
                "value_settings": {"event_payload_key": VALUE_KEY},
            }
        )
    customer_id: str = stripe.catalog.create_customer({"name": "Ada"})["id"]
    return customer_id


class Business:
    """A furnished stand-in that is being served."""

    def __init__(self, stripe: StripeStandin, clock: Clock, server: StandinServer) -> None:
        self.stripe = stripe
        self.clock = clock
        self.server = server
        self.customer_id = furnish(stripe)


@contextmanager
def business(server: StandinServer, key: str = "sk_test_1") -> Iterator[Business]:
    clock = Clock(NOW)
    stripe = StripeStandin(clock, key=key)
    with server.serving(stripe):
        yield Business(stripe, clock, server)
