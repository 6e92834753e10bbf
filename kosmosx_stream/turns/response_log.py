"""Reading responses back from the log, and settling them by it, wherever they were generated."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Iterable, Sequence

from conversation.entries import Ended, Entry, Price, Started, UnknownEntryVersion, unpack
from conversation.ports import Attendance, EventLog, Lease, LogUnavailable
from kosmosx_stream.protocol.chat import ChatCompletion
from kosmosx_stream.protocol.chat_completion import completion
from kosmosx_stream.protocol.errors import (
    HandedOver,
    Unavailable,
    log_regressed,
    response_not_found,
)
from kosmosx_stream.protocol.fold import Fold, Projection
from kosmosx_stream.protocol.frames import Event
from kosmosx_stream.protocol.projection import Projector
from kosmosx_stream.protocol.responses import ResponseObject
from kosmosx_stream.settlement import thaw, turn_usage
from kosmosx_stream.telemetry.meters import Meters
from kosmosx_stream.telemetry.settlements import note_settlement
from metering.ledger import Closing, Ledger, Recorded
from metering.usage import ledger_rows, live_cost_micro_usd

logger = logging.getLogger(__name__)

PAGE = 256
"""Entries that a replay holds at a time, however slow its reader is."""
NOTES = 3
"""How often within the time that it holds a reader's note is repeated."""
POLL_INTERVAL_S = 0.1
"""How often a reader looks for news of a response that is live on another instance."""


class ResponseLog:
    """The log of every response, as entries, as events and as usage."""

    def __init__(
        self,
        log: EventLog,
        ledger: Ledger,
        attendance: Attendance,
        meters: Meters,
        *,
        silence_s: float,
        keep_unstored_s: float,
        grace_s: float,
    ) -> None:
        """`silence_s`: a follower of a log that gets nothing for so long gives up.

        `keep_unstored_s`: what was not to be stored can be followed for so long after its end.
        `grace_s`: a response goes on for so long after its last follower has left.
        """
        self._log = log
        self._meters = meters
        self._attendance = attendance
        self._grace_s = grace_s
        self._keep_unstored_s = keep_unstored_s
        self._ledger = ledger
        self._silence_s = silence_s

    def fold(self, projection: Projection) -> Fold:
        """Begin a projection that prices usage as the bill does."""
        return projection(_cost_micro_usd)

    def response(self, entries: Iterable[Entry]) -> ResponseObject:
        """The response object as it stands after these entries."""
        projector = Projector(_cost_micro_usd)
        for entry in entries:
            projector.feed(entry)
        return projector.response()

    def completion(self, entries: Iterable[Entry]) -> ChatCompletion:
        """The chat completion of a whole log.

        Raises:
            ApiError: the answer failed.
        """
        return completion(entries, _cost_micro_usd)

    def has_ended(self, entries: Sequence[Entry], after: int) -> bool:
        """Whether nothing comes after the event of this number, now or ever.

        Raises:
            NotFound: there is no event of this number.
        """
        if after < 0:
            return False
        projector = Projector(_cost_micro_usd)
        events = [event for entry in entries for event in projector.feed(entry)]
        last = events[-1].sequence
        _check_cursor(after, last, entries[-1])
        return isinstance(entries[-1], Ended) and last <= after

    async def entries(
        self, response_id: str, start: int = 0, limit: int | None = None
    ) -> list[Entry]:
        """What is committed, from index `start` on, at most `limit` entries.

        Raises:
            Unavailable: the log cannot be reached, or a server of another version wrote it.
        """
        try:
            return [unpack(data) for data in await self._log.read(response_id, start, limit)]
        except LogUnavailable as error:
            raise Unavailable("the log cannot be reached", code="log_unavailable") from error
        except UnknownEntryVersion as error:
            # While servers are upgraded one by one, another one can read it.
            raise Unavailable(f"{response_id}: {error}", code="log_version_unknown") from error

    async def stored(self, account_id: str, response_id: str) -> list[Entry]:
        """The log of a response that was asked to be stored.

        Raises:
            NotFound: there is none, it was not to be stored, or it is another account's.
        """
        entries = await self.entries(response_id)
        match entries:
            case [Started(account_id=owner, store=True), *_] if owner == account_id:
                return entries
        raise response_not_found(response_id)

    async def session_id(self, response_id: str) -> str:
        """The session of a response that has begun.

        Raises:
            NotFound: its log was deleted meanwhile.
        """
        match await self.entries(response_id, limit=1):
            case [Started(session_id=session_id)]:
                return session_id
        raise response_not_found(response_id)

    async def release(self, lease: Lease, started: Started) -> None:
        """Let go of a settled response; one that was not to be stored is soon forgotten.

        Raises:
            LogUnavailable: the log cannot be written.
        """
        keep_s = None if started.store else self._keep_unstored_s
        await self._log.release(lease, keep_s=keep_s, session_id=started.session_id)

    async def check_not_set_back(self, response_id: str, after: int) -> None:
        """Refuse to go on after an event that may have been another one when it was read.

        Raises:
            NotFound: the store was set back to an older state while the response was live.
            Unavailable: the log cannot be reached.
        """
        if after >= 0 and await self.was_set_back(response_id):
            raise log_regressed(after, None)

    async def was_set_back(self, response_id: str) -> bool:
        """Whether the response was live in a store that was set back to an older state.

        Raises:
            Unavailable: the log cannot be reached.
        """
        try:
            return await self._log.was_set_back(response_id)
        except LogUnavailable as error:
            raise Unavailable("the log cannot be reached", code="log_unavailable") from error

    async def delete(self, response_id: str) -> None:
        """Forget the log; the ledger stays."""
        await self._log.delete(response_id)

    async def follow(
        self,
        response_id: str,
        after: int,
        projection: Projection = Projector,
        *,
        leaving: asyncio.Event,
    ) -> AsyncGenerator[Sequence[Event], None]:
        """Events above `after`, replayed and then followed to the end, or until this server leaves.

        Raises:
            NotFound: there is no such log, or it ends before `after`.
            HandedOver: this server leaves.
            Unavailable: the log cannot be reached, or its writer fell silent.
        """
        fold = self.fold(projection)
        position, last, tail = 0, -1, None
        noted = -self._grace_s
        deadline = asyncio.get_running_loop().time() + self._silence_s
        while True:
            if leaving.is_set():
                raise HandedOver(max(after, last))
            entries = await self._entries_after(response_id, position, tail, last)
            position += len(entries)
            events = [event for entry in entries for event in fold.feed(entry)]
            last = events[-1].sequence if events else last
            tail = entries[-1] if entries else tail
            if 0 < len(entries) < PAGE:
                _check_cursor(after, last, entries[-1])
            if batch := [event for event in events if event.sequence > after]:
                yield batch
            if entries and isinstance(entries[-1], Ended):
                return
            if len(entries) == PAGE:
                continue
            now = asyncio.get_running_loop().time()
            if now - noted > self._grace_s / NOTES:
                await self._note(response_id)
                noted = now
            if entries:
                deadline = now + self._silence_s
            elif now > deadline:
                raise Unavailable("the response's writer fell silent", code="server_unavailable")
            await asyncio.sleep(POLL_INTERVAL_S)

    async def _entries_after(
        self, response_id: str, position: int, tail: Entry | None, last: int
    ) -> list[Entry]:
        """The next page; `tail` is the entry before it, which has to be there still.

        Raises:
            NotFound: there is no log, or not the one any more that was read.
        """
        if tail is None:
            if not (entries := await self.entries(response_id, position, PAGE)):
                raise response_not_found(response_id)
            return entries
        entries = await self.entries(response_id, position - 1, PAGE + 1)
        if entries[:1] != [tail]:
            raise log_regressed(last, None)
        return entries[1:]

    async def _note(self, response_id: str) -> None:
        """Tell the response's owner that it is read here."""
        with contextlib.suppress(LogUnavailable):
            await self._attendance.note([response_id], self._grace_s)

    async def record(self, entries: Iterable[Entry], *, closing: str | None = None) -> bool:
        """Write what a response used into the ledger. False for a second time: nothing changes.

        `closing`: why its session is closed with it, if it is.
        """
        entries = list(entries)
        usage = turn_usage(entries)
        started = entries[0]
        assert isinstance(started, Started)
        rows = ledger_rows(usage, thaw(started.price))
        try:
            recorded = await self._ledger.record_turn(
                usage, rows, None if closing is None else Closing(time.time(), closing)
            )
        except BaseException:  # A deadline, too.
            self._meters.settlements["failed"].inc(1)
            raise
        note_settlement(self._meters, entries, usage, rows, recorded)
        if recorded is Recorded.LATE:
            logger.error("%s was settled after its session closed", usage.response_id)
        return bool(recorded)


def _check_cursor(after: int, last: int, entry: Entry) -> None:
    """`last` is the number of the log's last event, which is of this entry."""
    receipts = int(isinstance(entry, Ended))  # The session's may have come after the last event.
    if after > last + receipts:
        raise log_regressed(after, last)


def _cost_micro_usd(
    input_tokens: int, output_tokens: int, images: int, detections: int, price: Price
) -> int:
    return live_cost_micro_usd(input_tokens, output_tokens, images, detections, thaw(price))
