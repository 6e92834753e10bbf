"""Items on the next invoice, for what came too late for the meters."""

from decimal import Decimal

import stripe

from metering.outbox import OutboxRow
from metering.sink import SinkFailed

MICRO_USD_PER_CENT = 10_000
OUTBOX_KEY = "kosmosx_outbox"


class StripeInvoices:
    """The `Invoices` port over `/v1/invoiceitems`. Stripe rounds an item to whole cents."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._items = client.v1.invoice_items

    async def add(self, row: OutboxRow) -> str:
        try:
            return await self._find(row) or await self._create(row)
        except stripe.StripeError as error:
            raise SinkFailed(str(error)) from error

    async def _find(self, row: OutboxRow) -> str | None:
        """The item that an earlier call made: idempotency keys are forgotten after a day."""
        assert row.customer_id is not None, "no other row expires"
        listed = await self._items.list_async({"customer": row.customer_id, "limit": 100})
        async for item in listed.auto_paging_iter():
            if getattr(item.metadata, OUTBOX_KEY, None) == row.id:
                return item.id
        return None

    async def _create(self, row: OutboxRow) -> str:
        assert row.customer_id is not None, "no other row expires"
        item = await self._items.create_async(
            {
                "customer": row.customer_id,
                "currency": "usd",
                "unit_amount_decimal": Decimal(row.cost_micro_usd) / MICRO_USD_PER_CENT,
                "description": f"{row.units} {row.meter}, used earlier",
                "metadata": {OUTBOX_KEY: row.id},
            },
            {"idempotency_key": f"invoice:{row.id}"},
        )
        return item.id
