"""An account that owes: what the outbox's tests say to a store, and when."""

from metering.ledger import Recorded
from metering.outbox import HOUR_S, OutboxRow
from metering.reconciliation import RECONCILE_AFTER_S
from metering.store import Store
from metering.usage import ledger_rows
from tests.metering.samples import BOOK, turn

HOUR = 500_000 * HOUR_S
"""The beginning of an hour, in Unix seconds."""
AT = HOUR + 600.5
LATER = HOUR + HOUR_S + RECONCILE_AFTER_S
LEASE_S = 60.0


async def record(store: Store, response_id: str = "resp_1", **changes: object) -> Recorded:
    usage = turn(response_id, **{"at": AT, **changes})
    return await store.ledger.record_turn(usage, ledger_rows(usage, BOOK))


async def close(store: Store, number: int = 1, at: float = AT) -> None:
    await store.ledger.close_session(f"acct_{number}", f"sess_{number}", at, "client")


async def rows(store: Store, number: int = 1) -> list[OutboxRow]:
    return await store.outbox.rows(f"acct_{number}", f"sess_{number}")


async def row(store: Store, row_id: str) -> OutboxRow:
    found = {each.id: each for each in await rows(store)}
    return found[row_id]


async def claim(store: Store, now: float = AT, **options: float) -> list[OutboxRow]:
    return await store.outbox.claim(now, lease_s=LEASE_S, **{"limit": 10, **options})


async def claim_one(store: Store, now: float = AT) -> OutboxRow:
    (claimed,) = await claim(store, now)
    return claimed


async def owe(store: Store, **changes: object) -> OutboxRow:
    """A row of 132 tokens of the linked account."""
    await record(store, **changes)
    await close(store)
    (owed,) = await rows(store)
    return owed
