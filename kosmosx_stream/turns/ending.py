"""Ends a response in its owner's place: one that is to be cancelled, or that kills its owners.

Whoever holds the lease may write the last entry. The lease is taken from its owner, alive or dead,
and from then on the log refuses what the owner writes; so this works from any instance, at once.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence

from conversation.entries import Ended, EndReason, Entry, Started, output_tokens, pack
from conversation.ports import Conflict, EventLog, Fenced, Lease, Write
from kosmosx_stream.protocol import errors
from kosmosx_stream.turns.lost_turn import read_lost_turn
from kosmosx_stream.turns.models import Models
from kosmosx_stream.turns.response_log import ResponseLog
from kosmosx_stream.turns.session import FINISHED, Publish, Session, displaced

AGAIN_S = 0.05
"""Whoever took a response that was being ended has ended it after so long, or is not there."""

Owe = Callable[[Started, int], Awaitable[None]]
"""Takes the tokens that a turn said from what its key may have."""


class Ending:
    """Writes the ends of responses that are not live here."""

    def __init__(
        self,
        *,
        log: EventLog,
        responses: ResponseLog,
        models: Models,
        owe: Owe,
        lease_ttl_s: float,
    ) -> None:
        self._log = log
        self._responses = responses
        self._models = models
        self._owe = owe
        self._lease_ttl_s = lease_ttl_s

    async def cancel(self, account_id: str, response_id: str) -> bool:
        """Cancel a response wherever it is live; one that has ended stays as it is: False.

        Raises:
            NotFound: there is none, or it is another account's.
            Unavailable: the model is not loaded yet, or the log cannot be written.
        """
        entries = await self._responses.entries(response_id)
        match entries:
            case [Started(account_id=owner), *_] if owner == account_id:
                pass
            case _:
                raise errors.response_not_found(response_id)
        if isinstance(entries[-1], Ended):
            return False
        await self.take_and_end(response_id)
        return True

    async def take_and_end(self, response_id: str) -> None:
        """Cancel a response wherever it is live, and settle it; one that is settled stays so.

        Raises:
            Unavailable: the model is not loaded yet.
            LogUnavailable: the log cannot be written.
        """
        self._check_loaded()  # Before the owner loses what could not be ended here.
        while (lease := await self._log.seize(response_id, self._lease_ttl_s)) is not None:
            # Read once it is ours: the owner may have written until it was dispossessed.
            entries = await self._responses.entries(response_id)
            with contextlib.suppress(Fenced):  # It was taken by another one, to be ended, too.
                await self.end(lease, entries, "cancelled")
                return
            await asyncio.sleep(AGAIN_S)

    async def end(
        self,
        lease: Lease,
        entries: Sequence[Entry],
        reason: EndReason,
        *,
        error_code: str | None = None,
        error_message: str | None = None,
    ) -> None:
        """Write the last entry unless it is there, settle by the log, and let go of it.

        Raises:
            Unavailable: the model is not loaded yet.
            LogUnavailable: the log cannot be written.
            Fenced: it was taken over.
        """
        if entries:
            if not isinstance(entries[-1], Ended):
                ended = await self._write_end(lease, entries, reason, error_code, error_message)
                entries = [*entries, ended]
            await self._settle(lease, entries)
        else:
            await self._log.release(lease)

    async def _write_end(
        self,
        lease: Lease,
        entries: Sequence[Entry],
        reason: EndReason,
        error_code: str | None,
        error_message: str | None,
    ) -> Ended:
        last = self._last(entries, reason, error_code, error_message)
        ended = last.entry
        assert isinstance(ended, Ended)
        write = Write(lease=lease, expected=len(entries), entries=(pack(ended),), turn=last.turn)
        (refused,) = await self._log.append([write], self._lease_ttl_s)
        if isinstance(refused, Conflict):
            ended = displaced(ended)
            write = Write(lease=lease, expected=len(entries), entries=(pack(ended),))
            (refused,) = await self._log.append([write], self._lease_ttl_s)
        if refused is not None:
            raise refused
        return ended

    def _last(
        self,
        entries: Sequence[Entry],
        reason: EndReason,
        error_code: str | None,
        error_message: str | None,
    ) -> Publish:
        """What the session would have published last."""
        self._check_loaded()
        turn = read_lost_turn(entries)
        chat_format = self._models.of(turn.started).chat_format
        machine, now = Session(), time.time()
        effects = machine.resume(
            turn.started,
            turn.deltas,
            chat_format.decoder(),
            now,
            finish_reason=turn.finish_reason(chat_format),
        )
        effects += machine.stop(
            turn.started.response_id,
            reason,
            now,
            error_code=error_code,
            error_message=error_message,
        )
        (last,) = (effect for effect in effects if isinstance(effect, Publish))
        return last

    def _check_loaded(self) -> None:
        if not self._models.loaded:
            raise errors.Unavailable("The model is being loaded.", code="server_unavailable")

    async def _settle(self, lease: Lease, entries: Sequence[Entry]) -> None:
        started = entries[0]
        assert isinstance(started, Started)
        closing = FINISHED if started.single_turn else None
        recorded = await self._responses.record(entries, closing=closing)
        await self._responses.release(lease, started)
        if recorded:
            await self._owe(started, output_tokens(entries))
