"""A business that owes: a store, its Stripe, and what stands between them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from metering.dispatcher import Dispatcher, Pace
from metering.outbox import OutboxRow
from metering.reconciler import Reconciler
from metering.sink import Invoices, Sink
from metering.store import Store
from metering.stripe.client import connected
from metering.stripe.invoices import StripeInvoices
from metering.stripe.sink import StripeSink
from metering.stripe.summaries import StripeSummaries
from metering.usage import ledger_rows
from tests.metering.samples import BOOK, turn
from tests.stripe_standin.account import Business

AT_ONCE = Pace(delay_s=0)


class Billing(msgspec.Struct):
    """The parts as the server puts them together, by the stand-in's clock."""

    store: Store
    shop: Business
    sink: Sink
    invoices: Invoices
    dispatcher: Dispatcher
    reconciler: Reconciler

    async def use(
        self, response_id: str, tokens: int = 132, account_id: str = "acct_1", **changes: object
    ) -> None:
        """A turn in a session of its own, which is closed."""
        session_id = response_id.replace("resp", "sess")
        usage = turn(
            response_id,
            session_id=session_id,
            account_id=account_id,
            input_tokens=tokens - 1,
            cached_tokens=0,
            output_tokens=1,
            at=self.shop.clock.now,
            **changes,
        )
        now = self.shop.clock.now
        await self.store.ledger.open_session(session_id, account_id, None, now)
        await self.store.ledger.record_turn(usage, ledger_rows(usage, BOOK))
        await self.store.ledger.close_session(account_id, session_id, now, "client")

    async def row(self, response_id: str) -> OutboxRow:
        session_id = response_id.replace("resp", "sess")
        (found,) = await self.store.outbox.rows("acct_1", session_id)
        return found

    @property
    def accepted(self) -> int:
        """Units that Stripe will bill."""
        return self.shop.stripe.meters.accepted()


@asynccontextmanager
async def billing(store: Store, shop: Business, pace: Pace = AT_ONCE) -> AsyncIterator[Billing]:
    await store.outbox.link_customer("acct_1", shop.customer_id, shop.clock.now)
    async with connected(shop.stripe.key, shop.server.url) as client:
        sink, invoices = StripeSink(client), StripeInvoices(client)
        yield Billing(
            store,
            shop,
            sink,
            invoices,
            Dispatcher(store.outbox, sink, invoices, shop.clock, pace),
            Reconciler(store.outbox, StripeSummaries(client), shop.clock),
        )
