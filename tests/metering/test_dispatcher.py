"""From the outbox to Stripe, whatever happens on the way."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from metering.dispatcher import LONGEST_BACKOFF_S, PAUSE_S, Dispatcher, Pace, backoff_s
from metering.outbox import AMBIGUOUS_AFTER_S, EXPIRED_AFTER_S
from metering.store import Store
from tests.metering.billing import AT_ONCE, Billing, billing
from tests.metering.stores import OpenStore, in_files
from tests.stripe_standin.account import Business
from tests.stripe_standin.app import EVENTS, Fault


@pytest.fixture
def open_store(tmp_path: Path) -> OpenStore:
    """One adapter is enough: the port has tests of its own."""
    return in_files(tmp_path)


@pytest.fixture
async def owing(store: Store, shop: Business) -> AsyncIterator[Billing]:
    async with billing(store, shop) as made:
        yield made


def alarms(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]


async def test_what_is_owed_is_sent_once(owing: Billing) -> None:
    await owing.use("resp_1", images=1)
    assert await owing.dispatcher.round() == 2
    assert await owing.dispatcher.round() == 0
    assert owing.shop.stripe.meters.accepted(event_name="kosmosx_tokens") == 132
    assert owing.shop.stripe.meters.accepted(event_name="kosmosx_images") == 1


async def test_rows_of_one_customer_and_meter_are_sent_one_after_another(owing: Billing) -> None:
    for number in range(3):
        await owing.use(f"resp_{number}")
    assert [await owing.dispatcher.round() for _ in range(4)] == [1, 1, 1, 0]
    assert owing.accepted == 3 * 132


@pytest.mark.parametrize("fault", [Fault.LOST_REQUEST, Fault.LOST_REPLY, Fault.BROKEN, Fault.BUSY])
async def test_a_fault_that_passes_is_outlasted(owing: Billing, fault: Fault) -> None:
    owing.shop.stripe.faults.extend([fault, fault])
    await owing.use("resp_1")
    for _ in range(3):
        await owing.dispatcher.round()
        owing.shop.clock.now += 10
    row = await owing.row("resp_1")
    assert (row.state, row.attempts) == ("accepted", 3)
    assert owing.accepted == 132


async def test_stripe_says_when_to_come_back(owing: Billing) -> None:
    owing.shop.stripe.faults.append(Fault.BUSY)  # Retry-After: 2
    await owing.use("resp_1")
    await owing.dispatcher.round()
    owing.shop.clock.now += 1.9
    assert await owing.dispatcher.round() == 0
    owing.shop.clock.now += 0.1
    assert await owing.dispatcher.round() == 1


async def test_what_stripe_never_takes_is_dead_and_raises_an_alarm(
    owing: Billing, caplog: pytest.LogCaptureFixture
) -> None:
    owing.shop.stripe.faults.append(Fault.INVALID)
    await owing.use("resp_1")
    await owing.dispatcher.round()
    assert (await owing.row("resp_1")).state == "dead"
    assert alarms(caplog) == ["billing: kx:sess_1:0:tokens is refused for good: Invalid payload."]
    owing.shop.clock.now += 1000
    assert await owing.dispatcher.round() == 0


@pytest.mark.parametrize("fault", [Fault.UNAUTHORISED, Fault.FORBIDDEN])
async def test_a_key_that_is_refused_stops_everything_for_a_while(
    owing: Billing, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    owing.shop.stripe.faults.extend([fault, fault])
    await owing.use("resp_1", images=1)
    await owing.dispatcher.round()
    assert len(alarms(caplog)) == 1
    assert await owing.dispatcher.round() == 0
    owing.shop.clock.now += PAUSE_S
    assert await owing.dispatcher.round() == 2
    assert owing.accepted == 133


async def test_a_row_waits_so_that_a_fast_clock_does_not_matter(
    store: Store, shop: Business
) -> None:
    async with billing(store, shop, Pace()) as owing:
        ahead = 600
        shop.clock.now += ahead  # ours; Stripe's stays behind
        await owing.use("resp_1")
        assert await owing.dispatcher.round() == 0
        shop.clock.now += Pace().delay_s
        shop.stripe.account.now = lambda: shop.clock.now - ahead
        assert await owing.dispatcher.round() == 1
        assert (await owing.row("resp_1")).state == "accepted"


async def test_a_slow_clock_does_not_matter_either(owing: Billing) -> None:
    owing.shop.stripe.account.now = lambda: owing.shop.clock.now + 600
    await owing.use("resp_1")
    await owing.dispatcher.round()
    assert (await owing.row("resp_1")).state == "accepted"


async def test_after_23_hours_without_an_answer_nothing_is_sent_again(
    owing: Billing, caplog: pytest.LogCaptureFixture
) -> None:
    owing.shop.stripe.faults.append(Fault.LOST_REPLY)
    await owing.use("resp_1")
    await owing.dispatcher.round()
    owing.shop.clock.now += AMBIGUOUS_AFTER_S
    assert await owing.dispatcher.round() == 0
    assert (await owing.row("resp_1")).state == "ambiguous"
    assert len(alarms(caplog)) == 1
    assert owing.accepted == 132


async def test_an_outage_without_any_connection_leaves_no_doubt(
    owing: Billing, store: Store, shop: Business
) -> None:
    """What never reached Stripe is sent as soon as it is back, after a week, too."""
    async with billing(store, shop) as cut_off:
        cut_off.sink._events._requestor._options.base_addresses["api"] = "http://127.0.0.1:1"
        await owing.use("resp_1")
        await cut_off.dispatcher.round()
    row = await owing.row("resp_1")
    assert (row.state, row.attempts, row.first_attempt_at) == ("pending", 1, None)
    shop.clock.now += 7 * 86400
    assert await owing.dispatcher.round() == 1
    assert owing.accepted == 132


async def test_what_was_never_sent_in_34_days_goes_onto_an_invoice(
    owing: Billing, caplog: pytest.LogCaptureFixture
) -> None:
    await owing.use("resp_1")
    owing.shop.clock.now += EXPIRED_AFTER_S + 1
    await owing.dispatcher.round()
    await owing.dispatcher.round()
    row = await owing.row("resp_1")
    (item,) = owing.shop.stripe.catalog.invoice_items.values()
    assert (row.state, row.note) == ("invoiced", item["id"])
    assert item["amount"] == 3
    assert owing.accepted == 0
    assert len(alarms(caplog)) == 2


async def test_an_account_without_a_customer_waits_without_alarm(
    owing: Billing, store: Store, shop: Business, caplog: pytest.LogCaptureFixture
) -> None:
    await owing.use("resp_2", account_id="acct_2")
    assert await owing.dispatcher.round() == 0
    owing.shop.clock.now += 1000
    assert await owing.dispatcher.round() == 0
    assert (await store.outbox.health()).unlinked == 1
    assert alarms(caplog) == []
    await store.outbox.link_customer("acct_2", shop.customer_id, owing.shop.clock.now)
    assert await owing.dispatcher.round() == 1
    assert owing.accepted == 132


async def test_several_dispatchers_send_everything_once(
    owing: Billing, store: Store, shop: Business
) -> None:
    others = [
        Dispatcher(store.outbox, owing.sink, owing.invoices, shop.clock, AT_ONCE) for _ in range(4)
    ]
    for number in range(10):
        await owing.use(f"resp_{number}", images=1)
    while (await store.outbox.health()).pending:
        await asyncio.gather(*(each.round() for each in others))
    assert len(shop.stripe.meters.events) == 20
    sent = [request for request in shop.stripe.requests if request.path == EVENTS]
    assert len(sent) == 20


async def test_it_runs_until_it_is_cancelled(owing: Billing) -> None:
    await owing.use("resp_1")
    running = asyncio.create_task(owing.dispatcher.run())
    while not owing.accepted:  # noqa: ASYNC110 - only Stripe knows when
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.mark.parametrize("attempts", [1, 5, 20, 10_000])
def test_waits_grow_and_have_an_end(attempts: int) -> None:
    longest = min(LONGEST_BACKOFF_S, 2.0 ** min(attempts, 20))
    assert all(longest / 2 <= backoff_s(attempts) <= longest for _ in range(50))
