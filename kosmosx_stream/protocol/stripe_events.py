"""What Stripe sends us, and what it is answered."""

import msgspec

from kosmosx_stream.protocol.schema_terms import BOOLEAN, TEXT, any_of, body, says
from kosmosx_stream.protocol.schemas import Schema


class EventReceived(msgspec.Struct, frozen=True, kw_only=True):
    """The event was taken, now or before."""

    received: bool = True


STRIPE_BODIES: dict[str, Schema] = {
    "StripeEvent": body(
        "An event of Stripe's, with its signature in the header `Stripe-Signature`.",
        {
            "id": TEXT,
            "type": TEXT,
            "livemode": BOOLEAN,
            "created": says(
                any_of({"type": "integer"}, {"type": "string", "format": "date-time"}),
                "Thin events have text.",
            ),
        },
        data={"type": "object"},
    ),
}
