"""What came too late for the meters stands on the next invoice once."""

import pytest
import stripe

from metering.sink import SinkFailed
from metering.stripe.invoices import StripeInvoices
from tests.metering.stripe.rows import row
from tests.stripe_standin.account import Business


@pytest.fixture
def invoices(client: stripe.StripeClient) -> StripeInvoices:
    return StripeInvoices(client)


async def test_an_item_has_the_rows_cost(shop: Business, invoices: StripeInvoices) -> None:
    item_id = await invoices.add(row(cost_micro_usd=26_400, customer_id=shop.customer_id))
    item = shop.stripe.catalog.invoice_items[item_id]
    assert (item["amount"], item["currency"]) == (3, "usd")  # 2.64 cents
    assert item["metadata"] == {"kosmosx_outbox": row().id}
    assert item["description"] == "132 tokens, used earlier"


async def test_an_item_is_added_once_however_much_later(
    shop: Business, invoices: StripeInvoices
) -> None:
    late = row(customer_id=shop.customer_id)
    await invoices.add(row("kx:sess_0:0:tokens", customer_id=shop.customer_id))
    item_id = await invoices.add(late)
    shop.stripe.forget_answers()
    assert await invoices.add(late) == item_id
    assert len(shop.stripe.catalog.invoice_items) == 2


async def test_a_refusal_is_told(invoices: StripeInvoices) -> None:
    with pytest.raises(SinkFailed, match="No such customer"):
        await invoices.add(row(customer_id="cus_unknown"))
