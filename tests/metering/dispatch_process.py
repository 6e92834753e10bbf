"""A process that dispatches once, and is killed as it begins the SQL statement after so many.

python -m tests.metering.dispatch_process DB STRIPE_URL NOW STATEMENTS
"""

import asyncio
import sys
from pathlib import Path

from metering.dispatcher import Dispatcher
from metering.stripe.client import connected
from metering.stripe.invoices import StripeInvoices
from metering.stripe.sink import StripeSink
from tests.metering.billing import AT_ONCE
from tests.metering.store_process import doomed_store


async def main(path: str, url: str, now: str, statements: str) -> None:
    store = await doomed_store(Path(path), int(statements))
    async with connected("sk_test_1", url) as client:
        sink, invoices = StripeSink(client), StripeInvoices(client)
        await Dispatcher(store.outbox, sink, invoices, lambda: float(now), AT_ONCE).round()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
