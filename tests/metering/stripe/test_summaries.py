"""What Stripe has counted in an hour."""

import pytest
import stripe

from metering.outbox import HOUR_S
from metering.reconciliation import MeterHour
from metering.sink import SinkFailed
from metering.stripe.sink import StripeSink
from metering.stripe.summaries import StripeSummaries
from tests.metering.stripe.rows import row
from tests.stripe_standin.account import NOW, Business


async def test_units_are_told_by_customer_meter_and_hour(
    shop: Business, client: stripe.StripeClient
) -> None:
    hour = int(NOW) - HOUR_S
    sink, summaries = StripeSink(client), StripeSummaries(client)
    for number, (meter, timestamp) in enumerate(
        [("tokens", hour), ("tokens", hour + 3599), ("tokens", hour - 1), ("images", hour)]
    ):
        await sink.send([row(f"kx:{number}", meter=meter, timestamp=timestamp, units=10 + number)])

    async def units(**changes: object) -> int:
        asked = {"customer_id": shop.customer_id, "meter": "tokens", "hour": hour, **changes}
        return await summaries.units(MeterHour(**asked))

    assert await units() == 10 + 11
    assert await units(hour=hour - HOUR_S) == 12
    assert await units(hour=hour + HOUR_S) == 0
    assert await units(meter="images") == 13
    assert await units(customer_id="cus_other") == 0


async def test_a_missing_meter_is_named(shop: Business, client: stripe.StripeClient) -> None:
    shop.stripe.meters.meters.clear()
    with pytest.raises(SinkFailed, match="no meter kosmosx_tokens: run `kosmosx stripe setup`"):
        await StripeSummaries(client).units(MeterHour(customer_id="c", meter="tokens", hour=0))
