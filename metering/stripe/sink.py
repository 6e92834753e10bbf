"""Meter events, one in a call: Stripe's usual way, which checks most of an event at once."""

import asyncio
from collections.abc import Sequence

import stripe

from metering.outbox import OutboxRow
from metering.sink import Accepted, Answer
from metering.stripe.answers import answer_to
from metering.stripe.events import EVENT_NAMES, payload


class StripeSink:
    """The `Sink` port over `POST /v1/billing/meter_events`.

    Stripe takes one call at a time for each customer and meter.
    """

    batch = 1
    abreast = 1

    def __init__(self, client: stripe.StripeClient) -> None:
        self._events = client.v1.billing.meter_events

    async def send(self, rows: Sequence[OutboxRow]) -> list[Answer]:
        return list(await asyncio.gather(*(self._send(row) for row in rows)))

    async def _send(self, row: OutboxRow) -> Answer:
        try:
            await self._events.create_async(
                {
                    "event_name": EVENT_NAMES[row.meter],
                    "identifier": row.id,
                    "timestamp": row.timestamp,
                    "payload": payload(row),
                },
                {"idempotency_key": row.id},
            )
        except stripe.StripeError as error:
            return answer_to(error)
        return Accepted()
