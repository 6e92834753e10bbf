"""A turn's whole way into the bill, by a process that is killed at one end of one of its calls.

python -m tests.metering.life_process SUPABASE_URL SERVICE_KEY STRIPE_URL NOW EDGE

Each call has two edges: before it is sent, and when its answer has come and nobody has read it. On
Supabase a call is a transaction, so that these are the commit points, seen from both sides.
"""

import asyncio
import os
import signal
import sys
from typing import Any

import httpx

from metering.dispatcher import Dispatcher
from metering.store import Store
from metering.stripe.client import connected
from metering.stripe.invoices import StripeInvoices
from metering.stripe.sink import StripeSink
from metering.supabase.store import open_supabase
from metering.usage import ledger_rows
from tests.metering.billing import AT_ONCE
from tests.metering.samples import BOOK, turn


async def live(store: Store, stripe_url: str, now: float) -> None:
    """Hold, open, record, close and send; a second time changes nothing."""
    usage = turn("resp_life", session_id="sess_life", images=1, at=now)
    await store.ledger.open_session("sess_life", "acct_1", "key_1", now)
    await store.budgets.hold(
        "acct_1", "resp_life", least_micro_usd=1, most_micro_usd=10**6, at=now, until=now + 3600
    )
    await store.ledger.record_turn(usage, ledger_rows(usage, BOOK))
    await store.ledger.close_session("acct_1", "sess_life", now, "client")
    async with connected("sk_test_1", stripe_url) as client:
        sink, invoices = StripeSink(client), StripeInvoices(client)
        await Dispatcher(store.outbox, sink, invoices, lambda: now, AT_ONCE).round()


def die_at(edge: int) -> None:
    """Count the edges of all HTTP calls from now on."""
    send, left = httpx.AsyncClient.send, edge

    def pass_edge() -> None:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    async def counted(self: httpx.AsyncClient, *given: Any, **more: Any) -> httpx.Response:
        pass_edge()
        answer = await send(self, *given, **more)
        pass_edge()
        return answer

    httpx.AsyncClient.send = counted


async def main(url: str, service_key: str, stripe_url: str, now: str, edge: str) -> None:
    store = await open_supabase(url, service_key, timeout_s=60)
    die_at(int(edge))
    await live(store, stripe_url, float(now))
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
