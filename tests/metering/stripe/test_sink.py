"""Units go to Stripe in single calls, and each kind of answer is told from the others."""

import asyncio

import pytest
import stripe

from metering.sink import Accepted, Answer, Invalid, Refused, Unanswered, Unauthorised
from metering.stripe.client import API_VERSION, connected
from metering.stripe.sink import StripeSink
from tests.metering.stripe.rows import row
from tests.stripe_standin.account import Business
from tests.stripe_standin.app import Fault
from tests.stripe_standin.meters import DAY_S


@pytest.fixture
def sink(client: stripe.StripeClient) -> StripeSink:
    return StripeSink(client)


async def send(sink: StripeSink, **changes: object) -> Answer:
    (answer,) = await sink.send([row(**changes)])
    return answer


async def test_units_arrive_as_they_are_in_the_row(shop: Business, sink: StripeSink) -> None:
    assert await send(sink) == Accepted()
    (event,) = shop.stripe.meters.events
    assert (event.event_name, event.value) == ("kosmosx_tokens", 132)
    assert (event.identifier, event.timestamp) == (row().id, row().timestamp)
    assert shop.stripe.meters.accepted(shop.customer_id) == 132


async def test_a_call_names_the_row_and_the_version(shop: Business, sink: StripeSink) -> None:
    await send(sink)
    (request,) = shop.stripe.requests
    assert request.headers["idempotency-key"] == row().id
    assert request.headers["stripe-version"] == API_VERSION
    assert "x-stripe-client-telemetry" not in request.headers


@pytest.mark.parametrize(
    ("fault", "kind", "arrived"),
    [
        (Fault.LOST_REQUEST, Unanswered, 0),
        (Fault.LOST_REPLY, Unanswered, 1),
        (Fault.BROKEN, Unanswered, 0),
        (Fault.BROKEN_AFTER, Unanswered, 1),
        (Fault.BUSY, Refused, 0),
        (Fault.UNAUTHORISED, Unauthorised, 0),
        (Fault.FORBIDDEN, Unauthorised, 0),
        (Fault.INVALID, Invalid, 0),
    ],
)
async def test_each_fault_has_its_answer_and_is_tried_once(
    shop: Business, sink: StripeSink, fault: Fault, kind: type[Answer], arrived: int
) -> None:
    shop.stripe.faults.append(fault)
    answer = await send(sink)
    assert type(answer) is kind
    assert len(shop.stripe.requests) == 1
    assert len(shop.stripe.meters.events) == arrived
    if fault is Fault.BUSY:
        assert answer == Refused("Request rate limit exceeded", 2.0)


async def test_a_lost_reply_is_made_up_for_by_sending_again(
    shop: Business, sink: StripeSink
) -> None:
    shop.stripe.faults.append(Fault.LOST_REPLY)
    await send(sink)
    assert await send(sink) == Accepted()
    assert len(shop.stripe.meters.events) == 1


async def test_an_identifier_that_stripe_knows_is_accepted(
    shop: Business, sink: StripeSink, client: stripe.StripeClient
) -> None:
    """Also where the idempotency key is not known: Stripe then answers 400."""
    await send(sink)
    shop.stripe.forget_answers()
    assert await send(sink) == Accepted()
    assert len(shop.stripe.meters.events) == 1


async def test_after_a_day_stripe_counts_it_again(shop: Business, sink: StripeSink) -> None:
    """Which is why the outbox never sends a row that is older than 23 hours again."""
    await send(sink)
    shop.clock.now += DAY_S
    await send(sink)
    assert len(shop.stripe.meters.events) == 2


@pytest.mark.parametrize("seconds", [301, -35 * DAY_S - 1])
async def test_a_time_that_stripe_does_not_take_is_invalid(
    shop: Business, sink: StripeSink, seconds: int
) -> None:
    answer = await send(sink, timestamp=int(shop.clock.now) + seconds)
    assert isinstance(answer, Invalid)


async def test_nothing_listens(sink: StripeSink, shop: Business) -> None:
    async with connected(shop.stripe.key, "http://127.0.0.1:1") as nowhere:
        (answer,) = await StripeSink(nowhere).send([row()])
    assert isinstance(answer, Refused)
    assert "no connection" in answer.reason


async def test_another_accounts_key(shop: Business) -> None:
    async with connected("sk_test_other", shop.server.url) as other:
        (answer,) = await StripeSink(other).send([row()])
    assert isinstance(answer, Unauthorised)


async def test_two_calls_at_once_for_a_customer_and_meter(shop: Business, sink: StripeSink) -> None:
    """Stripe refuses the second; the outbox never makes it."""
    shop.stripe.gate = asyncio.Event()
    calls = {asyncio.create_task(send(sink, row_id=f"kx:sess_{n}:0:tokens")) for n in (1, 2)}
    (second,), (first,) = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    shop.server.call(shop.stripe.gate.set)
    assert isinstance(await second, Refused)
    assert await first == Accepted()


async def test_a_customer_that_stripe_does_not_know_is_told_of_later(
    shop: Business, sink: StripeSink
) -> None:
    """A 200 does not mean billed: this is what reconciling is for."""
    assert await send(sink, customer_id="cus_unknown") == Accepted()
    assert shop.stripe.meters.accepted() == 0
    (report,) = shop.stripe.meters.reports
    assert report["type"] == "v1.billing.meter.error_report_triggered"
