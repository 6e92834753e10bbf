"""A live response on this instance: its place in the log, its committed events, its readers.

Readers see an event only after its entry was committed, and the terminal events only after the
turn was settled: whoever has read `response.completed` finds it on the bill.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence

from conversation.entries import Delta, Ended, Entry, Started, pack
from conversation.items import Turn
from conversation.ports import Conflict, Lease, Write
from kosmosx_stream.protocol.fold import Fold, Projection
from kosmosx_stream.protocol.frames import Event
from kosmosx_stream.protocol.projection import Projector
from kosmosx_stream.telemetry.turn_watch import TurnWatch
from kosmosx_stream.turns.committer import Committer, Verdict
from kosmosx_stream.turns.session import displaced


class LogLost(Exception):
    """This instance may no longer write the response's log; what is committed can be read there.

    `after` is the sequence number of the last event that was handed out.
    """

    def __init__(self, after: int) -> None:
        super().__init__(after)
        self.after = after


class _View:
    """The events of one projection, encoded once for all who read it."""

    def __init__(self, fold: Fold) -> None:
        self.events: list[Event] = []
        self._fold = fold
        self._seen = 0

    def catch_up(self, entries: Sequence[Entry], readable: int) -> None:
        for position in range(self._seen, readable):
            self.events += self._fold.feed(entries[position])
        self._seen = readable


class LiveResponse:
    """Appends entries, projects them as readers ask for them, and wakes those who wait."""

    def __init__(
        self,
        started: Started,
        lease: Lease,
        committer: Committer,
        fold: Callable[[Projection], Fold],
        watch: TurnWatch,
        *,
        on_unread: Callable[[], None],
        on_lost: Callable[[], None],
        entries: Sequence[Entry] = (),
    ) -> None:
        """`entries`: what is in the log already, when it was taken over from a lost owner."""
        self.started = started
        self.lease = lease
        self.entries: list[Entry] = list(entries)
        """What is committed, in order."""
        self.readers = 0
        self.watch = watch
        self._fold = fold
        self._committer = committer
        self.on_unread = on_unread
        """Called when the last reader has left."""
        self._on_lost = on_lost
        self._views: dict[Projection, _View] = {}
        self._readable = len(entries)
        self._submitted = len(entries)
        self._finished = False
        self._lost = False
        self._changed = asyncio.Event()
        self._changed_at = 0.0
        self.ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """True once the last entry is committed, False if the log was lost before that."""

    @property
    def output_tokens(self) -> int:
        """What was said so far."""
        said = (entry for entry in self.entries if isinstance(entry, Delta | Ended))
        return sum(len(entry.token_ids) for entry in said)

    def publish(self, entry: Entry, turn: Turn | None = None) -> Verdict:
        """Append an entry; its events are readable once it is committed."""
        write = Write(lease=self.lease, expected=self._submitted, entries=(pack(entry),), turn=turn)
        self._submitted += 1
        self.watch.submitted()
        verdict = self._committer.submit(write)
        verdict.add_done_callback(lambda done: self._committed(entry, done))
        return verdict

    def finish(self) -> None:
        """The turn is settled: let the last entry be read."""
        self._finished = True
        self._readable = len(self.entries)
        self._wake()

    def lose(self) -> None:
        """The log is somebody else's from here on: readers go on there."""
        if self._lost or self._finished:
            return
        self._lost = True
        if not self.ended.done():
            self.ended.set_result(False)
        self._wake()
        self._on_lost()

    def reaches(self, after: int, projection: Projection) -> bool:
        """Whether the event of this number is readable here."""
        events = self._view(projection).events
        return after < 0 or bool(events and events[-1].sequence >= after)

    async def follow(
        self, after: int = -1, projection: Projection = Projector
    ) -> AsyncIterator[Sequence[Event]]:
        """Committed events with a sequence number above `after`, in batches, to the last one.

        Raises:
            LogLost: another owner has the log now, or it cannot be reached.
        """
        view = self._view(projection)
        position = sum(event.sequence <= after for event in view.events)
        news_at: float | None = None
        self.readers += 1
        try:
            while True:
                view.catch_up(self.entries, self._readable)
                if batch := view.events[position:]:
                    position += len(batch)
                    after = batch[-1].sequence
                    yield batch
                    if news_at is not None:
                        self.watch.sent(news_at)
                        news_at = None
                elif self._finished:
                    return
                elif self._lost:
                    raise LogLost(after)
                else:
                    await self._changed.wait()
                    news_at = self._changed_at
        finally:
            self.readers -= 1
            if not self.readers:
                self.on_unread()

    def _view(self, projection: Projection) -> _View:
        if projection not in self._views:
            self._views[projection] = _View(self._fold(projection))
        view = self._views[projection]
        view.catch_up(self.entries, self._readable)
        return view

    def _committed(self, entry: Entry, verdict: Verdict) -> None:
        error = asyncio.CancelledError() if verdict.cancelled() else verdict.exception()
        if isinstance(error, Conflict) and isinstance(entry, Ended):
            self._end_beside(entry)
            return
        if error is not None:
            self.lose()
            return
        self.entries.append(entry)
        self.watch.committed(0 if isinstance(entry, Started) else len(entry.token_ids))
        if isinstance(entry, Ended):
            if not self.ended.done():
                self.ended.set_result(True)
            return
        self._readable = len(self.entries)
        self._wake()

    def _end_beside(self, entry: Ended) -> None:
        """Another turn got into the conversation first: the answer stands, its place is taken."""
        self._submitted -= 1
        self.publish(displaced(entry))

    def _wake(self) -> None:
        self._changed_at = time.perf_counter()
        self._changed.set()
        self._changed = asyncio.Event()
