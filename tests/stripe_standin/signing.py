"""Events as Stripe sends them, signed."""

import hashlib
import hmac
import json
import time
from typing import Any

SECRET = "whsec_test"


def signature(body: bytes, *, secret: str = SECRET, at: float | None = None) -> str:
    """The Stripe-Signature header."""
    seconds = int(time.time() if at is None else at)
    signed = f"{seconds}.".encode() + body
    return f"t={seconds},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


def subscription_event(event_id: str = "evt_1", **changes: Any) -> bytes:
    """A snapshot event: it has the object in it."""
    subscription = {
        "id": "sub_1",
        "object": "subscription",
        "customer": "cus_1",
        "status": "active",
    }
    event = {
        "id": event_id,
        "object": "event",
        "type": "customer.subscription.updated",
        "created": 1_800_000_000,
        "livemode": False,
        "data": {"object": subscription},
    }
    return json.dumps(event | changes).encode()


def thin_event(report: dict[str, Any]) -> bytes:
    """A thin event: as it lies at Stripe, without its data."""
    return json.dumps({name: each for name, each in report.items() if name != "data"}).encode()
