"""What Stripe's meters have counted."""

import stripe

from metering.outbox import HOUR_S
from metering.reconciliation import MeterHour
from metering.sink import SinkFailed
from metering.stripe.events import EVENT_NAMES
from metering.usage import Meter


class StripeSummaries:
    """The `Summaries` port over `/v1/billing/meters/{id}/event_summaries`."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._meters = client.v1.billing.meters
        self._ids: dict[str, str] = {}

    async def units(self, hour: MeterHour) -> int:
        try:
            listed = await self._meters.event_summaries.list_async(
                await self._meter_id(hour.meter),
                {
                    "customer": hour.customer_id,
                    "start_time": hour.hour,
                    "end_time": hour.hour + HOUR_S,
                    "value_grouping_window": "hour",
                },
            )
        except stripe.StripeError as error:
            raise SinkFailed(str(error)) from error
        return sum(round(summary.aggregated_value) for summary in listed.data)

    async def _meter_id(self, meter: Meter) -> str:
        name = EVENT_NAMES[meter]
        if name not in self._ids:
            listed = await self._meters.list_async({"status": "active", "limit": 100})
            async for found in listed.auto_paging_iter():
                self._ids[found.event_name] = found.id
        if name not in self._ids:
            raise SinkFailed(f"Stripe has no meter {name}: run `kosmosx stripe setup`")
        return self._ids[name]
