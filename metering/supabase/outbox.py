"""The outbox in Supabase."""

from metering.outbox import (
    AMBIGUOUS_AFTER_S,
    EXPIRED_AFTER_S,
    HOUR_S,
    OutboxHealth,
    OutboxRow,
)
from metering.reconciliation import RECONCILE_AFTER_S, MeterHour, Verdict
from metering.supabase.database import Database, text


class SupabaseOutbox:
    """The `Outbox` port."""

    def __init__(self, database: Database) -> None:
        self._call = database.call
        self._read = database.read

    async def link_customer(self, account_id: str, customer_id: str, at: float) -> int:
        linked: int = await self._call(
            "link_customer", account_id=account_id, customer_id=customer_id, at=at
        )
        return linked

    async def customer(self, account_id: str) -> str | None:
        found: str | None = await self._call("customer", account_id=account_id)
        return found

    async def claim(
        self, now: float, *, lease_s: float, limit: int, delay_s: float = 0.0, abreast: int = 1
    ) -> list[OutboxRow]:
        return await self._read(
            list[OutboxRow],
            "claim",
            now=now,
            until=now + lease_s,
            used_before=now - delay_s,
            used_after=now - EXPIRED_AFTER_S,
            attempted_after=now - AMBIGUOUS_AFTER_S,
            at_most=limit,
            abreast=abreast,
        )

    async def accept(self, row_id: str, at: float) -> bool:
        return await self._change("accept", row_id=row_id, at=at)

    async def postpone(
        self, row: OutboxRow, at: float, *, until: float, note: str, refused: bool
    ) -> bool:
        return await self._change(
            "postpone",
            row_id=row.id,
            claim=row.claimed_until,
            at=at,
            until=until,
            why=note,
            refused=int(refused),
        )

    async def bury(self, row_id: str, at: float, note: str) -> bool:
        return await self._change("bury", row_id=row_id, at=at, why=note)

    async def age(self, now: float) -> tuple[int, int]:
        return await self._read(
            tuple[int, int],
            "age",
            now=now,
            attempted_before=now - AMBIGUOUS_AFTER_S,
            used_before=now - EXPIRED_AFTER_S,
        )

    async def claim_expired(self, now: float, *, lease_s: float, limit: int) -> list[OutboxRow]:
        return await self._read(
            list[OutboxRow], "claim_expired", now=now, until=now + lease_s, at_most=limit
        )

    async def invoice(self, row_id: str, at: float, note: str) -> bool:
        return await self._change("invoice", row_id=row_id, at=at, why=note)

    async def unreconciled(self, now: float, *, limit: int) -> list[MeterHour]:
        return await self._read(list[MeterHour], "unreconciled", **_settled_by(now), at_most=limit)

    async def reconcile(self, hour: MeterHour, found: int, at: float) -> Verdict:
        return await self._read(
            Verdict,
            "reconcile",
            of_hour=text(hour),
            found_units=str(found),
            at=at,
            **_settled_by(at),
        )

    async def rows(self, account_id: str, session_id: str) -> list[OutboxRow]:
        return await self._read(
            list[OutboxRow], "outbox_rows", account_id=account_id, session_id=session_id
        )

    async def attention(self, *, limit: int = 100) -> list[OutboxRow]:
        return await self._read(list[OutboxRow], "outbox_attention", at_most=limit)

    async def health(self) -> OutboxHealth:
        return await self._read(OutboxHealth, "outbox_health")

    async def _change(self, function: str, **arguments: float | str) -> bool:
        changed: bool = await self._call(function, **arguments)
        return changed


def _settled_by(at: float) -> dict[str, float]:
    """By when an hour has ended and nothing in it changed, if it is settled now."""
    return {"ended": at - RECONCILE_AFTER_S - HOUR_S, "unchanged": at - RECONCILE_AFTER_S}
