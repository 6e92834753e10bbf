"""The lanes of one connection: who may start now, and who waits. Pure; starts nothing itself.

Work of the same lane runs in order of arrival and never overlaps; different lanes run side by side,
up to a number in flight, and the first to have come is the first to start. A lane without a name
is a lane like any other.
"""

from typing import Generic, TypeVar

import msgspec

from kosmosx_stream.protocol.errors import InvalidRequest, RateLimited

Work = TypeVar("Work")
Lane = str | None


class Waiting(msgspec.Struct, Generic[Work], frozen=True):
    """Work that has not started; `size` in bytes."""

    lane: Lane
    work: Work
    size: int


class Lanes(Generic[Work]):
    """Decides when work starts. Each lane that `enter` or `leave` returns work for is busy."""

    def __init__(
        self, *, max_named: int, max_in_flight: int, max_waiting: int, max_waiting_bytes: int
    ) -> None:
        """`max_waiting` is of each lane; `max_waiting_bytes` of all together."""
        self._max_named = max_named
        self._max_in_flight = max_in_flight
        self._max_waiting = max_waiting
        self._max_waiting_bytes = max_waiting_bytes
        self._named: set[str] = set()
        self._busy: set[Lane] = set()
        self._waiting: list[Waiting[Work]] = []
        """In order of arrival."""

    def enter(self, lane: Lane, work: Work, size: int) -> list[Work]:
        """Take work into a lane; return what is to start now: this, or nothing.

        Raises:
            InvalidRequest: the connection has used too many names.
            RateLimited: too much waits already.
        """
        self._check_name(lane)
        if lane in self._busy or len(self._busy) >= self._max_in_flight:
            self._check_room(lane, size)
        if lane is not None:
            self._named.add(lane)
        self._waiting.append(Waiting(lane, work, size))
        return self._ready()

    def leave(self, lane: Lane) -> list[Work]:
        """The lane's work has ended; return what is to start in the room that it leaves."""
        self._busy.discard(lane)
        return self._ready()

    def _ready(self) -> list[Work]:
        ready: list[Work] = []
        waiting: list[Waiting[Work]] = []
        for each in self._waiting:
            if each.lane in self._busy or len(self._busy) >= self._max_in_flight:
                waiting.append(each)
            else:
                self._busy.add(each.lane)
                ready.append(each.work)
        self._waiting = waiting
        return ready

    def _check_name(self, lane: Lane) -> None:
        if lane is None or lane in self._named or len(self._named) < self._max_named:
            return
        raise InvalidRequest(
            "This WebSocket connection has used as many distinct stream IDs as it may "
            f"({self._max_named}). Reuse one of them or open another connection.",
            code="websocket_stream_limit_reached",
            param="stream_id",
        )

    def _check_room(self, lane: Lane, size: int) -> None:
        if sum(each.lane == lane for each in self._waiting) >= self._max_waiting:
            raise _full(
                f"{self._max_waiting} requests wait in this lane already, the most it takes"
            )
        if sum(each.size for each in self._waiting) + size > self._max_waiting_bytes:
            limit = f"{self._max_waiting_bytes} bytes"
            raise _full(f"the requests that wait on this connection would exceed {limit}")


def _full(why: str) -> RateLimited:
    return RateLimited(
        f"Too many requests at a time: {why}. Wait for a response to end.",
        code="rate_limit_exceeded",
        param="stream_id",
    )
