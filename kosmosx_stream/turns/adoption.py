"""Takes up responses whose owner was lost, after the last token in their logs.

The lease decides who goes on with a response; one that has ended is only settled, and settling
twice changes nothing.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Sequence

from conversation.entries import Ended, Entry
from conversation.ports import EventLog, Lease
from kosmosx_stream.formats.chat_format import ChatFormat
from kosmosx_stream.protocol.errors import Unavailable
from kosmosx_stream.telemetry.telemetry import Telemetry
from kosmosx_stream.turns.ending import Ending
from kosmosx_stream.turns.live_turns import LiveTurns
from kosmosx_stream.turns.lost_turn import LostTurn, read_lost_turn
from kosmosx_stream.turns.models import Models
from kosmosx_stream.turns.response_log import ResponseLog

logger = logging.getLogger(__name__)

BATCH = 1000
AT_ONCE = 16
"""So many are taken over side by side: each waits for the store's disk."""
SECOND_LOOK_S = 0.1
"""Where the store itself stood still, or its clock jumped ahead, its leases lapsed all at once, and
their owners' renewals are on their way."""
MAX_ADOPTIONS = 3
"""A turn that was lost more often than this is ended: its prompt may be what kills its owners."""


class Adoption:
    """Goes on with lapsed responses, or ends those with which nobody could."""

    def __init__(
        self,
        *,
        log: EventLog,
        responses: ResponseLog,
        turns: LiveTurns,
        models: Models,
        ending: Ending,
        lease_ttl_s: float,
        telemetry: Telemetry,
    ) -> None:
        self._log = log
        self._responses = responses
        self._turns = turns
        self._models = models
        self._ending = ending
        self._lease_ttl_s = lease_ttl_s
        self._looked_at = -math.inf
        """When the store last answered, on the monotonic clock; and what its own clock showed."""
        self._looked_at_its_s = -math.inf
        self._telemetry = telemetry
        self._unreadable: set[str] = set()
        """What only servers of another version can go on with."""

    async def take_over_lost(self) -> float | None:
        """Take over what has lapsed. The model must be loaded.

        Returns the seconds until the next lease lapses, unless it is renewed; None if none is held.
        """
        found = await self._log.expired(BATCH)
        now = time.monotonic()
        # By the faster of the two clocks.
        unseen_s = max(now - self._looked_at, found.at_s - self._looked_at_its_s)
        self._looked_at, self._looked_at_its_s = now, found.at_s
        # Those of ours are late with their renewals.
        lapsed = [each for each in found.response_ids if not self._turns.get(each)]
        if lapsed:
            if unseen_s > self._lease_ttl_s / 2:
                await asyncio.sleep(SECOND_LOOK_S)
            await self._take_over_all(lapsed)
        return found.next_s

    async def _take_over_all(self, lapsed: list[str]) -> None:
        random.shuffle(lapsed)  # Other instances begin elsewhere.
        free = asyncio.Semaphore(AT_ONCE)
        attempts = [self._try(response_id, free) for response_id in lapsed]
        # One that fails must not break off another that has its lease already.
        for failed in filter(None, await asyncio.gather(*attempts, return_exceptions=True)):
            raise failed

    async def _try(self, response_id: str, free: asyncio.Semaphore) -> None:
        async with free:
            if not await self._is_readable(response_id):
                return
            lease = await self._log.acquire(response_id, self._lease_ttl_s)
            if lease is not None:
                await self._take_over(lease)

    async def _is_readable(self, response_id: str) -> bool:
        """Whether this version of the server wrote it: a lease taken in vain is one too many."""
        if response_id in self._unreadable:
            return False
        try:
            await self._responses.entries(response_id)
        except Unavailable as error:
            if error.code != "log_version_unknown":
                raise
            logger.warning("left to servers of another version: %s", error)
            self._unreadable.add(response_id)
            return False
        return True

    async def _take_over(self, lease: Lease) -> None:
        entries = await self._responses.entries(lease.response_id)
        lost = bool(entries) and not isinstance(entries[-1], Ended)
        if lost and lease.losses <= MAX_ADOPTIONS:
            turn = read_lost_turn(entries)
            chat_format = self._models.of(turn.started).chat_format
            # The ids in the log have to be the served model's.
            if turn.started.tokens in ("", chat_format.tokens):
                logger.warning("adopting %s at entry %d", lease.response_id, len(entries))
                self._adopt(lease, entries, turn, chat_format)
                self._telemetry.meters.adoptions["continued"].inc()
                return
        await self._ending.end(
            lease,
            entries,
            "error",
            error_code="server_error",
            error_message="The server stopped before the answer was finished.",
        )
        if entries:
            self._telemetry.meters.adoptions["ended" if lost else "settled"].inc()

    def _adopt(
        self, lease: Lease, entries: Sequence[Entry], turn: LostTurn, chat_format: ChatFormat
    ) -> None:
        """Go on with the turn here."""
        started = turn.started
        session = self._turns.sessions.resume(
            started.session_id, started.account_id, single_turn=started.single_turn
        )
        watch = self._telemetry.adopt_turn(started, len(entries))
        live = self._turns.hold(session, started, lease, watch, entries)
        effects = session.machine.resume(
            started,
            turn.deltas,
            chat_format.decoder(),
            time.time(),
            finish_reason=turn.finish_reason(chat_format),
        )
        self._turns.carry_out(session, effects)
        live.leave_unread()
