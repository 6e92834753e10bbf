"""Stripe's events and subscriptions in Supabase."""

from metering.subscriptions import Subscription
from metering.supabase.database import Database, text


class SupabaseSubscriptions:
    """The `Subscriptions` port."""

    def __init__(self, database: Database) -> None:
        self._call = database.call
        self._read = database.read

    async def take_event(self, event_id: str, at: float, told: Subscription | None = None) -> bool:
        taken: bool = await self._call("take_event", event_id=event_id, at=at, told=text(told))
        return taken

    async def subscriptions(self, account_id: str) -> list[Subscription]:
        return await self._read(list[Subscription], "account_subscriptions", account_id=account_id)
