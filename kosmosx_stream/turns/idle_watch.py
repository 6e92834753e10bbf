"""Tells which idle sessions have really been idle, whatever wall clocks say. Pure.

Whoever uses a session touches it in the books, by its own clock. A clock that jumps makes all of
them look idle at once; so a session is left alone until it was seen untouched for a while.
"""

from collections.abc import Sequence

from metering.ledger import SessionRecord


class IdleWatch:
    """What one instance has seen of the sessions that look idle."""

    def __init__(self, watch_s: float) -> None:
        """`watch_s`: longer than the time from touch to touch of a session in use."""
        self._watch_s = watch_s
        self._since: dict[tuple[str, float], float] = {}

    def untouched(self, idle: Sequence[SessionRecord], now: float) -> list[SessionRecord]:
        """Those that nobody has touched for the whole watch.

        Args:
            idle: all that look idle now.
            now: seconds of a clock that never jumps.
        """
        since = {(record.id, record.last_seen_at): now for record in idle}
        self._since = since | {seen: at for seen, at in self._since.items() if seen in since}
        return [
            record
            for record in idle
            if now - self._since[record.id, record.last_seen_at] >= self._watch_s
        ]
