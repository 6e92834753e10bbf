"""What every store must do with what Stripe tells."""

import asyncio

import msgspec

from metering.store import Store
from metering.subscriptions import Subscription

ACTIVE = Subscription(id="sub_1", customer_id="cus_1", status="active", changed_at=10.0)


async def told(store: Store) -> list[str]:
    return [each.status for each in await store.subscriptions.subscriptions("acct_1")]


async def test_an_event_is_taken_once(store: Store) -> None:
    await store.outbox.link_customer("acct_1", "cus_1", 1.0)
    assert await store.subscriptions.take_event("evt_1", 11.0, ACTIVE)
    later = msgspec.structs.replace(ACTIVE, status="canceled", changed_at=20.0)
    assert not await store.subscriptions.take_event("evt_1", 12.0, later)
    assert await store.subscriptions.subscriptions("acct_1") == [ACTIVE]


async def test_an_event_may_tell_nothing(store: Store) -> None:
    assert await store.subscriptions.take_event("evt_1", 11.0)
    assert not await store.subscriptions.take_event("evt_1", 11.0)


async def test_events_may_come_in_any_order(store: Store) -> None:
    await store.outbox.link_customer("acct_1", "cus_1", 1.0)
    for number, (status, at) in enumerate([("past_due", 20.0), ("active", 10.0), ("unpaid", 20.0)]):
        change = msgspec.structs.replace(ACTIVE, status=status, changed_at=at)
        assert await store.subscriptions.take_event(f"evt_{number}", 30.0, change)
    assert await told(store) == ["unpaid"]


async def test_subscriptions_are_those_of_the_accounts_customer(store: Store) -> None:
    await store.subscriptions.take_event("evt_1", 11.0, ACTIVE)
    newer = Subscription(id="sub_2", customer_id="cus_1", status="paused", changed_at=15.0)
    await store.subscriptions.take_event("evt_2", 11.0, newer)
    other = Subscription(id="sub_3", customer_id="cus_2", status="unpaid", changed_at=20.0)
    await store.subscriptions.take_event("evt_3", 11.0, other)
    assert await told(store) == []
    await store.outbox.link_customer("acct_1", "cus_1", 12.0)
    assert await told(store) == ["paused", "active"]


async def test_twenty_deliveries_at_once_are_taken_once(store: Store) -> None:
    taken = await asyncio.gather(
        *(store.subscriptions.take_event("evt_1", 11.0, ACTIVE) for _ in range(20))
    )
    assert sum(taken) == 1
