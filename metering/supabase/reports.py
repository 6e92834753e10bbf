"""Sums over the ledger in Supabase."""

from metering.reports import Dimension, UsageRow
from metering.supabase.database import Database, text


class SupabaseReports:
    """The `Reports` port."""

    def __init__(self, database: Database) -> None:
        self._read = database.read

    async def usage(
        self,
        account_id: str,
        start: float,
        end: float,
        by: frozenset[Dimension],
        *,
        limit: int,
    ) -> list[UsageRow]:
        return await self._read(
            list[UsageRow],
            "usage",
            account_id=account_id,
            since=start,
            before=end,
            grouped=text(sorted(by)),
            most=limit,
        )
