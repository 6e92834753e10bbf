"""Units go to Stripe by the hundred."""

import pytest
import stripe

from metering.sink import Accepted, Invalid, Refused, Unanswered, Unauthorised
from metering.stripe.stream import RENEW_S, StripeStream
from tests.metering.stripe.rows import row
from tests.stripe_standin.account import Business
from tests.stripe_standin.app import Fault
from tests.stripe_standin.server import Clock

STREAM = "/v2/billing/meter_event_stream"
SESSION = "/v2/billing/meter_event_session"


@pytest.fixture
def monotonic() -> Clock:
    return Clock(0.0)


@pytest.fixture
def stream(client: stripe.StripeClient, monotonic: Clock) -> StripeStream:
    return StripeStream(client, monotonic)


def rows(count: int) -> list:
    return [row(f"kx:sess_{number}:0:tokens", units=number + 1) for number in range(count)]


def calls(shop: Business, path: str) -> int:
    return sum(request.path == path for request in shop.stripe.requests)


async def test_a_hundred_rows_are_one_call(shop: Business, stream: StripeStream) -> None:
    assert await stream.send(rows(100)) == [Accepted()] * 100
    assert shop.stripe.meters.accepted(shop.customer_id, "kosmosx_tokens") == 5050
    assert {event.timestamp for event in shop.stripe.meters.events} == {row().timestamp}
    assert calls(shop, STREAM) == 1


async def test_a_session_is_used_for_ten_minutes(
    shop: Business, stream: StripeStream, monotonic: Clock
) -> None:
    for _ in range(3):
        await stream.send(rows(1))
        monotonic.now += RENEW_S / 2
    assert calls(shop, SESSION) == 2


async def test_a_session_that_expired_is_opened_again(shop: Business, stream: StripeStream) -> None:
    await stream.send(rows(1))
    shop.clock.now += 1000
    (answer,) = await stream.send(rows(2)[1:])
    assert isinstance(answer, Refused)
    assert await stream.send(rows(2)[1:]) == [Accepted()]


async def test_what_was_sent_twice_counts_once(shop: Business, stream: StripeStream) -> None:
    shop.stripe.faults.append(Fault.LOST_REPLY)
    assert {type(answer) for answer in await stream.send(rows(3))} == {Unanswered}
    assert await stream.send(rows(3)) == [Accepted()] * 3
    assert shop.stripe.meters.accepted() == 6


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(Fault.BUSY, Refused), (Fault.FORBIDDEN, Unauthorised), (Fault.BROKEN, Unanswered)],
)
async def test_a_fault_is_the_answer_for_every_row(
    shop: Business, stream: StripeStream, fault: Fault, kind: type
) -> None:
    shop.stripe.faults.append(fault)
    assert [type(answer) for answer in await stream.send(rows(2))] == [kind, kind]
    assert shop.stripe.meters.accepted() == 0


async def test_one_bad_row_does_not_take_the_others_with_it(
    shop: Business, stream: StripeStream
) -> None:
    # The call of four is refused, then that of the first two, then that of the first.
    shop.stripe.faults.extend([Fault.INVALID, Fault.INVALID, Fault.INVALID])
    first, *others = await stream.send(rows(4))
    assert isinstance(first, Invalid)
    assert others == [Accepted()] * 3
    assert shop.stripe.meters.accepted() == 2 + 3 + 4


async def test_a_time_that_stripe_does_not_take_is_told_of_later(
    shop: Business, stream: StripeStream
) -> None:
    assert await stream.send([row(timestamp=int(shop.clock.now) + 301)]) == [Accepted()]
    assert shop.stripe.meters.accepted() == 0
    assert len(shop.stripe.meters.reports) == 1
