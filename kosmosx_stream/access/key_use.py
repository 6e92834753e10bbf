"""When keys were used last: told to the books once a minute, and as the server stops."""

import asyncio
import contextlib

from metering.authenticator import Authenticator
from metering.errors import StoreUnavailable

INTERVAL_S = 60.0


async def note_uses(authenticator: Authenticator) -> None:
    """Tell them until cancelled, all in one call each time."""
    try:
        while True:
            await asyncio.sleep(INTERVAL_S)
            with contextlib.suppress(StoreUnavailable):  # With the next ones.
                await authenticator.flush_used()
    finally:
        with contextlib.suppress(StoreUnavailable):
            await authenticator.flush_used()
