"""The subscriptions port: what Stripe told us of our customers' subscriptions.

Stripe sends an event again until it is answered, and not always in order.
"""

from typing import Protocol

import msgspec


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """A customer's subscription as of `changed_at` (Unix seconds, Stripe's clock).

    `status` is Stripe's word: active, past_due, unpaid, canceled, paused ...
    """

    id: str
    customer_id: str
    status: str
    changed_at: float


class Subscriptions(Protocol):
    """Each call is one transaction. Any call may raise StoreUnavailable; repeating it is safe."""

    async def take_event(self, event_id: str, at: float, told: Subscription | None = None) -> bool:
        """Note an event of Stripe's, and the state that it tells of; False if it was noted before.

        A state that is older than the one that is kept of this subscription changes nothing.
        """
        ...

    async def subscriptions(self, account_id: str) -> list[Subscription]:
        """Those of the customer who pays for the account, the last changed first."""
        ...
