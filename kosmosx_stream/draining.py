"""The end of an instance's work: live turns finish within the deadline, or are handed over."""

import asyncio
import contextlib

from conversation.ports import EventLog, LogUnavailable
from kosmosx_stream.live_turns import LiveTurns


async def finish_or_hand_over(turns: LiveTurns, log: EventLog, timeout_s: float) -> None:
    """Let the live turns finish; whoever sweeps next goes on with those that did not."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await turns.until_idle()
    await _hand_over(turns, log)


async def _hand_over(turns: LiveTurns, log: EventLog) -> None:
    handed = turns.all()
    for live in handed:
        live.lose()
        # It stays open in the books, for its turn's next owner.
        turns.sessions.forget(live.started.session_id)
    with contextlib.suppress(LogUnavailable):
        await log.renew([live.lease for live in handed], 0)
