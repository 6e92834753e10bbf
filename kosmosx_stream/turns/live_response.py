"""A live response on this instance: its place in the log, its committed events, its readers.

One write of it is under way at a time; what is published meanwhile goes into the next one, deltas
as one: a store that is slower than the engine makes larger entries, and no queue.

Readers see an event only after its entry was committed, and the terminal events only after the
turn was settled: whoever has read `response.completed` finds it on the bill.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence

from conversation.entries import Delta, Ended, Entry, Started, merged, output_tokens, pack
from conversation.items import Turn
from conversation.ports import Conflict, Lease, LogUnavailable, Write
from kosmosx_stream.protocol.fold import Fold, Projection
from kosmosx_stream.protocol.frames import Event
from kosmosx_stream.protocol.projection import Projector
from kosmosx_stream.telemetry.turn_watch import TurnWatch
from kosmosx_stream.turns.committer import Committer
from kosmosx_stream.turns.session import displaced

AHEAD_TOKENS = 32
"""An answer is generated at most so far ahead of its log. Nobody sees or pays what is not in it."""


class LogLost(Exception):
    """This instance may no longer write the response's log; what is committed can be read there."""


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
        on_unread: Callable[["LiveResponse"], None],
        on_lost: Callable[["LiveResponse"], None],
        entries: Sequence[Entry] = (),
    ) -> None:
        """`entries`: what is in the log already, when it was taken over from a lost owner.

        `on_unread`: told when the last reader has left before the end. `on_lost`: told when the log
        is somebody else's. Both are given the response: if they kept it, none would be freed before
        the collector came by.
        """
        self.started = started
        self.lease = lease
        self.entries: list[Entry] = list(entries)
        """What is committed, in order."""
        self.readers = 0
        self.watch = watch
        self._fold = fold
        self._committer = committer
        self._on_unread = on_unread
        self._on_lost = on_lost
        self._views: dict[Projection, _View] = {}
        self._readable = len(entries)
        self._held: list[Entry] = []
        self._turn: Turn | None = None
        self._writing = False
        self._ahead_tokens = 0
        self._finished = False
        self._lost = False
        self._changed_at = 0.0
        self._loop = asyncio.get_running_loop()
        self._waiting: list[asyncio.Future[None]] = []
        self._caught_up: asyncio.Future[None] | None = None
        self.begun: asyncio.Future[Exception | None] = self._loop.create_future()
        """None once something is committed; what the log was lost by before that.

        After Fenced nothing of the turn is in the log, nor ever will be.
        """
        self.ended: asyncio.Future[bool] = self._loop.create_future()
        """True once the last entry is committed, False if the log was lost before that."""

    @property
    def output_tokens(self) -> int:
        """What was said so far."""
        return output_tokens(self.entries)

    def publish(self, entry: Entry, turn: Turn | None = None) -> None:
        """Append an entry; its events are readable once it is committed."""
        self._hold(entry)
        self._turn = turn
        if not self._writing:
            self._write()

    def until_caught_up(self) -> asyncio.Future[None] | None:
        """What to wait for before more is generated; None while the log keeps up."""
        if self._ahead_tokens < AHEAD_TOKENS or self._lost:
            return None
        if self._caught_up is None or self._caught_up.done():
            self._caught_up = self._loop.create_future()
        return self._caught_up

    def finish(self) -> None:
        """The turn is settled: let the last entry be read."""
        self._finished = True
        self._readable = len(self.entries)
        self._wake()

    def lose(self, by: Exception | None = None) -> None:
        """The log is somebody else's from here on: readers go on there."""
        if self._lost or self._finished:
            return
        self._lost = True
        if not self.begun.done():
            self.begun.set_result(by or LogUnavailable("what was written may not be committed"))
        if not self.ended.done():
            self.ended.set_result(False)
        self._wake()
        self._on_lost(self)

    def leave_unread(self) -> None:
        """Nobody reads it, now or any more."""
        self._on_unread(self)

    def reaches(self, after: int, projection: Projection) -> bool:
        """Whether the event of this number is readable here."""
        events = self._view(projection).events
        return after < 0 or bool(events and events[-1].sequence >= after)

    async def follow(
        self, after: int = -1, projection: Projection = Projector
    ) -> AsyncGenerator[Sequence[Event], None]:
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
                    yield batch
                    if news_at is not None:
                        self.watch.sent(news_at)
                        news_at = None
                elif self._finished:
                    return
                elif self._lost:
                    raise LogLost
                else:
                    await self._news()
                    news_at = self._changed_at
        finally:
            self.readers -= 1
            if not self.readers and not self._finished and not self._lost:
                self.leave_unread()

    def _view(self, projection: Projection) -> _View:
        if projection not in self._views:
            self._views[projection] = _View(self._fold(projection))
        view = self._views[projection]
        view.catch_up(self.entries, self._readable)
        return view

    async def _news(self) -> None:
        """Wait until more can be read, or nothing more will come."""
        news = self._loop.create_future()
        self._waiting.append(news)
        await news

    def _wake(self) -> None:
        self._changed_at = time.perf_counter()
        waiting, self._waiting = self._waiting, []
        if self._caught_up is not None:
            waiting.append(self._caught_up)
        for future in waiting:
            if not future.done():  # Who waited may have left.
                future.set_result(None)

    # -- writing ---------------------------------------------------------------------------

    def _hold(self, entry: Entry) -> None:
        if isinstance(entry, Delta):
            self._ahead_tokens += len(entry.token_ids)
            last = self._held[-1] if self._held else None
            if isinstance(last, Delta) and (both := merged(last, entry)) is not None:
                self._held[-1] = both
                return
        self._held.append(entry)

    def _write(self) -> None:
        entries, self._held = self._held, []
        self._writing, self._ahead_tokens = True, 0
        write = Write(
            lease=self.lease,
            expected=len(self.entries),
            entries=tuple(map(pack, entries)),
            turn=self._turn,
        )
        self.watch.submitted()
        self._committer.submit(write, lambda error: self._committed(entries, error))

    def _committed(self, entries: list[Entry], error: Exception | None) -> None:
        self._writing = False
        last = entries[-1]
        if isinstance(error, Conflict) and isinstance(last, Ended):
            # Another turn got into the conversation first: the answer stands, its place is taken.
            self._held = entries[:-1]
            self.publish(displaced(last))
            return
        if error is not None:
            self._held.clear()
            self.lose(error)
            return
        self.entries += entries
        self.watch.committed(output_tokens(entries))
        if self._held:
            self._write()
        if not self.begun.done():
            self.begun.set_result(None)
        if isinstance(last, Ended) and not self.ended.done():
            self.ended.set_result(True)
        # The end is read when it is settled.
        self._readable = len(self.entries) - isinstance(last, Ended)
        self._wake()
