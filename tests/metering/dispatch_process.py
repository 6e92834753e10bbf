"""A process that dispatches once, and is killed as it begins the SQL statement after so many.

python -m tests.metering.dispatch_process DB STRIPE_URL NOW STATEMENTS
"""

import asyncio
import os
import signal
import sqlite3
import sys
from pathlib import Path

from metering.dispatcher import Dispatcher
from metering.sqlite.database import Database
from metering.sqlite.store import sqlite_store
from metering.stripe.client import connected
from metering.stripe.invoices import StripeInvoices
from metering.stripe.sink import StripeSink
from tests.metering.billing import AT_ONCE


async def main(path: str, url: str, now: str, statements: str) -> None:
    database = await Database.open(Path(path))
    left = int(statements)

    def trace(_: str) -> None:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    await database.run(sqlite3.Connection.set_trace_callback, trace)
    outbox = sqlite_store(database).outbox
    async with connected("sk_test_1", url) as client:
        sink, invoices = StripeSink(client), StripeInvoices(client)
        await Dispatcher(outbox, sink, invoices, lambda: float(now), AT_ONCE).round()
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
