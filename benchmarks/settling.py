"""How many ended turns a second go into the books: `python -m benchmarks.settling`.

Each turn is what the server does at its end: its usage and its ledger rows in one transaction of
SQLite, on disk before it is answered.
"""

import asyncio
import tempfile
import time
from pathlib import Path

from metering.accounts import Account
from metering.prices import default_price_book
from metering.sqlite.store import open_sqlite
from metering.usage import TurnUsage, ledger_rows

SECONDS = 4.0
AT_ONCE = (1, 64)


async def settle(at_once: int, seconds: float) -> float:
    """Turns a second, so many waiting at a time."""
    with tempfile.TemporaryDirectory() as folder:
        store = await open_sqlite(Path(folder) / "books.db")
        await store.accounts.create_account(Account(id="acct", name="", created_at=0))
        await store.ledger.open_session("sess", "acct", None, time.time())
        prices = default_price_book()
        began, settled = time.perf_counter(), 0

        async def turns(lane: int) -> None:
            nonlocal settled
            turn = 0
            while time.perf_counter() - began < seconds:
                turn += 1
                usage = TurnUsage(
                    response_id=f"resp_{lane}_{turn}",
                    session_id="sess",
                    account_id="acct",
                    model="kosmos-x",
                    input_tokens=100,
                    cached_tokens=64,
                    output_tokens=256,
                    images=0,
                    detections=0,
                    at=time.time(),
                )
                await store.ledger.record_turn(usage, ledger_rows(usage, prices))
                settled += 1

        await asyncio.gather(*map(turns, range(at_once)))
        took = time.perf_counter() - began
        await store.close()
        return settled / took


async def main(seconds: float = SECONDS) -> dict[str, dict[str, float]]:
    """Print one line per load, and return them."""
    found = {}
    for at_once in AT_ONCE:
        rate = await settle(at_once, seconds)
        found[f"settling, {at_once} at once"] = {"turns_per_s": rate}
        print(f"{at_once:4} at once: {rate:7.0f} turns/s settled")
    return found


if __name__ == "__main__":
    asyncio.run(main())
