"""The whole store in one Supabase project."""

from metering.store import Store
from metering.supabase.accounts import SupabaseAccounts
from metering.supabase.budgets import SupabaseBudgets
from metering.supabase.database import Database
from metering.supabase.ledger import SupabaseLedger
from metering.supabase.outbox import SupabaseOutbox
from metering.supabase.reports import SupabaseReports
from metering.supabase.subscriptions import SupabaseSubscriptions


async def open_supabase(url: str, service_key: str, *, timeout_s: float = 5.0) -> Store:
    """Reach the project; see `Database.open`."""
    return supabase_store(await Database.open(url, service_key, timeout_s=timeout_s))


def supabase_store(database: Database) -> Store:
    """All ports on one database."""
    return Store(
        accounts=SupabaseAccounts(database),
        ledger=SupabaseLedger(database),
        budgets=SupabaseBudgets(database),
        outbox=SupabaseOutbox(database),
        reports=SupabaseReports(database),
        subscriptions=SupabaseSubscriptions(database),
        close=database.close,
    )
