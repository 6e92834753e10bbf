"""What Stripe sends us: events of two kinds, signed.

Snapshot events have the object that they tell of; thin events only name it. Stripe has a
destination for each kind, with a secret of its own.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import stripe

from metering.stripe.mode import Mode, WrongMode
from metering.subscriptions import Subscription

TOLERANCE_S = 300
ERROR_REPORTS = frozenset(
    {"v1.billing.meter.error_report_triggered", "v1.billing.meter.no_meter_found"}
)
SUBSCRIPTION = "customer.subscription."


class SignatureInvalid(Exception):
    """Not Stripe's, or more than five minutes old."""


class EventInvalid(Exception):
    """Signed, but not an event that can be read."""


class StripeEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event: the state of a subscription that it tells of, or whether units went wrong."""

    id: str
    type: str
    subscription: Subscription | None = None

    @property
    def reports_errors(self) -> bool:
        return self.type in ERROR_REPORTS


def read_event(
    body: bytes, signature: str | None, secrets: Sequence[str], mode: Mode
) -> StripeEvent:
    """Check who sent it, and read it.

    Raises:
        SignatureInvalid: none of the secrets made this signature lately.
        WrongMode: it is of the other mode.
        EventInvalid: it is no event.
    """
    _verify(body, signature, secrets)
    try:
        sent = msgspec.json.decode(body, type=_Sent)
        told = sent.subscription() if sent.type.startswith(SUBSCRIPTION) else None
    except (msgspec.DecodeError, ValueError) as error:
        raise EventInvalid(str(error)) from error
    if sent.livemode != (mode == "live"):
        raise WrongMode(f"expected events of {mode} mode")
    return StripeEvent(id=sent.id, type=sent.type, subscription=told)


async def explain(client: stripe.StripeClient, event_id: str) -> str:
    """What a thin event says in words, as Stripe tells those who ask."""
    try:
        event = await client.v2.core.events.retrieve_async(event_id)
    except stripe.StripeError as error:
        return f"see {event_id} at Stripe ({error})"
    data: Any = event.to_dict().get("data") or {}
    return f"{data.get('developer_message_summary', 'no details')} ({event_id})"


class _Object(msgspec.Struct, frozen=True):
    id: str
    customer: str
    status: str


class _Data(msgspec.Struct, frozen=True):
    object: _Object


class _Sent(msgspec.Struct, frozen=True):
    id: str
    type: str
    livemode: bool
    created: int | datetime
    data: msgspec.Raw = msgspec.Raw(b"null")

    def subscription(self) -> Subscription:
        told = msgspec.json.decode(self.data, type=_Data).object
        created = self.created
        return Subscription(
            id=told.id,
            customer_id=told.customer,
            status=told.status,
            changed_at=created.timestamp() if isinstance(created, datetime) else float(created),
        )


def _verify(body: bytes, signature: str | None, secrets: Sequence[str]) -> None:
    for secret in secrets:
        try:
            stripe.WebhookSignature.verify_header(body, signature, secret, TOLERANCE_S)
        except (stripe.SignatureVerificationError, UnicodeDecodeError):
            continue
        return
    raise SignatureInvalid
