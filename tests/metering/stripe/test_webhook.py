"""Who sent an event, and what it says."""

import time

import pytest
import stripe

from metering.stripe.mode import WrongMode
from metering.stripe.webhook import EventInvalid, SignatureInvalid, explain, read_event
from metering.subscriptions import Subscription
from tests.metering.stripe.rows import row
from tests.stripe_standin.account import Business
from tests.stripe_standin.signing import SECRET, signature, subscription_event, thin_event

REPORT = {
    "id": "evt_2",
    "object": "v2.core.event",
    "type": "v1.billing.meter.error_report_triggered",
    "created": "2027-01-15T08:00:00.000Z",
    "livemode": False,
}


def read(body: bytes, header: str | None = None, **options: object):
    header = signature(body) if header is None else header
    return read_event(body, header, [SECRET], options.get("mode", "test"))


def test_a_snapshot_event_tells_of_a_subscription() -> None:
    event = read(subscription_event())
    assert event.subscription == Subscription(
        id="sub_1", customer_id="cus_1", status="active", changed_at=1_800_000_000.0
    )
    assert not event.reports_errors


@pytest.mark.parametrize("kind", ["error_report_triggered", "no_meter_found"])
def test_a_thin_event_reports_errors(kind: str) -> None:
    event = read(thin_event({**REPORT, "type": f"v1.billing.meter.{kind}"}))
    assert (event.id, event.subscription, event.reports_errors) == ("evt_2", None, True)


def test_another_event_tells_nothing() -> None:
    event = read(subscription_event(type="invoice.paid"))
    assert (event.subscription, event.reports_errors) == (None, False)


def test_each_destination_has_a_secret() -> None:
    body = subscription_event()
    header = signature(body, secret="whsec_other")
    with pytest.raises(SignatureInvalid):
        read(body, header)
    assert read_event(body, header, [SECRET, "whsec_other"], "test").id == "evt_1"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=1,v1=00",
        "nonsense",
        signature(subscription_event("evt_9")),
        signature(subscription_event(), at=time.time() - 301),
    ],
)
def test_what_is_not_stripes_is_refused(header: str) -> None:
    with pytest.raises(SignatureInvalid):
        read(subscription_event(), header)


def test_no_header_is_refused() -> None:
    with pytest.raises(SignatureInvalid):
        read_event(subscription_event(), None, [SECRET], "test")


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(SignatureInvalid):
        read(b"\xff", "t=1,v1=00")


def test_an_event_of_the_other_mode_is_refused() -> None:
    with pytest.raises(WrongMode, match="expected events of test mode"):
        read(subscription_event(livemode=True))
    assert read(subscription_event(livemode=True), mode="live").id == "evt_1"


@pytest.mark.parametrize(
    "body", [b"{}", b"[1]", b"not json", subscription_event(data={"object": {"id": "sub_1"}})]
)
def test_what_is_signed_and_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(EventInvalid):
        read(body)


async def test_stripe_explains_a_thin_event(shop: Business, client: stripe.StripeClient) -> None:
    shop.stripe.meters._report("kosmosx_tokens", "Customer not found.", row().id)
    (report,) = shop.stripe.meters.reports
    said = await explain(client, report["id"])
    assert said == f"There is 1 invalid event ({report['id']})"
    assert "evt_unknown" in await explain(client, "evt_unknown")
