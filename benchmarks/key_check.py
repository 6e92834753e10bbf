"""How long a key's check takes when its verdict is remembered: `python -m benchmarks.key_check`.

Everything that a request's token goes through but HTTP, on one core; microseconds a check.
"""

import asyncio
import contextlib
import statistics
import tempfile
import time
from pathlib import Path

from metering.access_tokens import AccessTokens
from metering.accounts import Account
from metering.authenticator import Authenticator
from metering.issuing import Issuer
from metering.keys import InvalidKey
from metering.sqlite.store import open_sqlite

ROUNDS, CHECKS = 30, 2000
PEPPER = b"p" * 32


async def check(authenticator: Authenticator, token: str) -> None:
    """As a request does it."""
    with contextlib.suppress(InvalidKey):
        await authenticator.authenticate(token)


async def measure(authenticator: Authenticator, token: str) -> list[float]:
    """Seconds a check, of each round."""
    found = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(CHECKS):
            await check(authenticator, token)
        found.append((time.perf_counter() - began) / CHECKS)
    return found


async def main() -> dict[str, dict[str, float]]:
    """Measure keys, access tokens, and what opens nothing; print it, and return it."""
    medians: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = await open_sqlite(Path(folder) / "books.db")
        await store.accounts.create_account(Account(id="acct", name="", created_at=0))
        tokens = AccessTokens(PEPPER, life_s=3600)
        # Verdicts do not age meanwhile.
        authenticator = Authenticator(store.accounts, PEPPER, tokens, lambda: 0.0, time.time)
        key = (await Issuer(store.accounts, PEPPER).issue("acct", at=0)).token
        contenders = {
            "key": key,
            "access token": tokens.sign("acct", time.time())[0],
            "wrong secret": key[:-43] + "x" * 43,
        }
        for name, token in contenders.items():
            await check(authenticator, token)
            found = sorted(1e6 * each for each in await measure(authenticator, token))
            medians[f"key check, {name}"] = {"check_us": statistics.median(found)}
            print(f"{name:>14}: {statistics.median(found):6.2f} µs, at worst {found[-1]:6.2f} µs")
        await store.close()
    return medians


if __name__ == "__main__":
    asyncio.run(main())
