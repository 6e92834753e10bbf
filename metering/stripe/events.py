"""How our meters and their units are called at Stripe."""

from metering.outbox import OutboxRow
from metering.usage import Meter

EVENT_NAMES: dict[Meter, str] = {
    "tokens": "kosmosx_tokens",
    "images": "kosmosx_images",
    "detections": "kosmosx_detections",
    "fallback_tokens": "kosmosx_fallback_tokens",
    "fallback_images": "kosmosx_fallback_images",
    "fallback_detections": "kosmosx_fallback_detections",
}
CUSTOMER_KEY = "stripe_customer_id"
VALUE_KEY = "value"


def payload(row: OutboxRow) -> dict[str, str]:
    """Who pays, for how many units."""
    assert row.customer_id is not None, "no other row is claimed"
    return {CUSTOMER_KEY: row.customer_id, VALUE_KEY: str(row.units)}
