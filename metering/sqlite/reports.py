"""Sums over the ledger in SQLite."""

import sqlite3

from metering.reports import DIMENSIONS, Dimension, UsageRow
from metering.sqlite.database import Database

_COLUMNS: dict[Dimension, str] = {
    "day": "strftime('%Y-%m-%d', turns.at, 'unixepoch')",
    "model": "turns.model",
    "key_id": "sessions.key_id",
    "session_id": "turns.session_id",
}
_SUMS = """
    count(*) AS turns,
    sum(input_tokens) AS input_tokens,
    sum(cached_tokens) AS cached_tokens,
    sum(output_tokens) AS output_tokens,
    sum(images) AS images,
    sum(detections) AS detections,
    sum(
        (
            SELECT coalesce(sum(cost_micro_usd), 0) FROM usage_records
            WHERE usage_records.response_id = turns.response_id
        )
    ) AS cost_micro_usd
"""


class SqliteReports:
    """The `Reports` port."""

    def __init__(self, database: Database) -> None:
        self._run = database.run

    async def usage(
        self,
        account_id: str,
        start: float,
        end: float,
        by: frozenset[Dimension],
        *,
        limit: int,
    ) -> list[UsageRow]:
        return await self._run(_usage, account_id, start, end, by, limit=limit)


def _usage(
    db: sqlite3.Connection,
    account_id: str,
    start: float,
    end: float,
    by: frozenset[Dimension],
    *,
    limit: int,
) -> list[UsageRow]:
    grouped = [dimension for dimension in DIMENSIONS if dimension in by]
    columns = "".join(f"{_COLUMNS[dimension]} AS {dimension}, " for dimension in grouped)
    places = ", ".join(str(place) for place in range(1, len(grouped) + 1))
    order = f"GROUP BY {places} ORDER BY {places}" if grouped else "HAVING count(*) > 0"
    rows = db.execute(
        f"SELECT {columns} {_SUMS} FROM turns JOIN sessions ON sessions.id = turns.session_id"  # noqa: S608 - names
        " WHERE turns.account_id = :account_id AND turns.at >= :start AND turns.at < :end"
        f" {order} LIMIT :limit",
        {"account_id": account_id, "start": start, "end": end, "limit": limit},
    )
    return [UsageRow(**row) for row in rows]
