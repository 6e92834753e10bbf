"""What Stripe counted is compared with what was sent, and repaired where that is safe."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from metering.outbox import AMBIGUOUS_AFTER_S, EXPIRED_AFTER_S, HOUR_S
from metering.reconciliation import RECONCILE_AFTER_S
from metering.sink import SinkFailed
from metering.store import Store
from tests.metering.billing import Billing, billing
from tests.metering.stores import OpenStore, in_files
from tests.stripe_standin.account import Business
from tests.stripe_standin.app import Fault

CLOSED_S = HOUR_S + RECONCILE_AFTER_S


@pytest.fixture
def open_store(tmp_path: Path) -> OpenStore:
    """One adapter is enough: the port has tests of its own."""
    return in_files(tmp_path)


@pytest.fixture
async def owing(store: Store, shop: Business) -> AsyncIterator[Billing]:
    async with billing(store, shop) as made:
        yield made


async def outcomes(owing: Billing) -> list[str]:
    return [verdict.outcome for _, verdict in await owing.reconciler.reconcile()]


async def lose(owing: Billing, response_id: str, fault: Fault) -> None:
    """Send a row without getting an answer, until nobody may send it again."""
    owing.shop.stripe.faults.append(fault)
    await owing.use(response_id)
    await owing.dispatcher.round()
    owing.shop.clock.now += AMBIGUOUS_AFTER_S
    await owing.dispatcher.round()
    owing.shop.clock.now += CLOSED_S


async def test_equal_sums_are_compared_once(owing: Billing) -> None:
    await owing.use("resp_1")
    await owing.dispatcher.round()
    assert await outcomes(owing) == []
    owing.shop.clock.now += CLOSED_S
    assert await outcomes(owing) == ["equal"]
    assert await outcomes(owing) == []


async def test_what_arrived_without_an_answer_is_accepted(owing: Billing) -> None:
    await lose(owing, "resp_1", Fault.LOST_REPLY)
    assert await outcomes(owing) == ["equal"]
    assert (await owing.row("resp_1")).state == "accepted"
    assert owing.accepted == 132


async def test_what_did_not_arrive_is_sent_exactly_once_more(owing: Billing) -> None:
    await lose(owing, "resp_1", Fault.LOST_REQUEST)
    assert await outcomes(owing) == ["repaired"]
    await owing.dispatcher.round()
    assert owing.accepted == 132
    owing.shop.clock.now += CLOSED_S
    assert await outcomes(owing) == ["equal"]
    assert owing.accepted == 132


async def test_a_server_error_that_stripe_repeats_for_a_day_is_settled_too(
    owing: Billing,
) -> None:
    await lose(owing, "resp_1", Fault.BROKEN_AFTER)
    assert await outcomes(owing) == ["equal"]
    assert owing.accepted == 132


async def test_after_34_days_the_deficit_goes_onto_an_invoice(owing: Billing) -> None:
    await lose(owing, "resp_1", Fault.LOST_REQUEST)
    owing.shop.clock.now += EXPIRED_AFTER_S
    assert await outcomes(owing) == ["repaired"]
    await owing.dispatcher.round()
    (item,) = owing.shop.stripe.catalog.invoice_items.values()
    assert item["amount"] == 3
    owing.shop.clock.now += CLOSED_S
    assert await outcomes(owing) == ["equal"]
    assert owing.accepted == 0


async def test_units_that_stripe_dropped_raise_an_alarm(
    owing: Billing, caplog: pytest.LogCaptureFixture
) -> None:
    await owing.use("resp_1")
    await owing.dispatcher.round()
    owing.shop.stripe.meters.events.clear()
    owing.shop.clock.now += CLOSED_S
    assert await outcomes(owing) == ["mismatch"]
    assert await outcomes(owing) == ["mismatch"]
    assert "Stripe has 0 units, we sent 132" in caplog.text
    await owing.dispatcher.round()
    assert owing.accepted == 0


async def test_summaries_that_are_late_by_less_than_two_hours_do_no_harm(owing: Billing) -> None:
    owing.shop.stripe.meters.summary_delay_s = RECONCILE_AFTER_S - 1
    await lose(owing, "resp_1", Fault.LOST_REPLY)
    assert await outcomes(owing) == ["equal"]
    assert owing.accepted == 132


async def test_more_hours_than_are_listed_at_once(
    owing: Billing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metering.reconciler.BATCH", 2)
    for number in range(5):
        await owing.use(f"resp_{number}")
        await owing.dispatcher.round()
        owing.shop.clock.now += HOUR_S
    owing.shop.clock.now += CLOSED_S
    assert await outcomes(owing) == ["equal"] * 5


async def test_stripe_does_not_answer(owing: Billing) -> None:
    await owing.use("resp_1")
    await owing.dispatcher.round()
    owing.shop.clock.now += CLOSED_S
    began_at, meters = owing.reconciler.succeeded_at, owing.shop.stripe.meters.meters
    known = dict(meters)
    meters.clear()
    with pytest.raises(SinkFailed):
        await owing.reconciler.reconcile()
    assert owing.reconciler.succeeded_at == began_at
    meters.update(known)
    await owing.reconciler.reconcile()
    assert owing.reconciler.succeeded_at == owing.shop.clock.now > began_at


async def test_it_runs_when_it_is_wanted(owing: Billing) -> None:
    running = asyncio.create_task(owing.reconciler.run())
    await owing.use("resp_1")
    await owing.dispatcher.round()
    owing.shop.clock.now += CLOSED_S
    async with asyncio.timeout(30):
        while (await owing.store.outbox.unreconciled(owing.shop.clock.now, limit=1)) != []:
            owing.reconciler.want()
            await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
