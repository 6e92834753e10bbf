"""How much of this server one key may take at a time."""

import contextlib
from collections import Counter
from collections.abc import Iterator

from kosmosx_stream.access.grant import Granted
from kosmosx_stream.protocol.errors import RateLimited
from metering.authenticator import Principal


class Connections:
    """WebSockets, or HTTP requests under way, by key."""

    def __init__(self, limit: int, *, called: str) -> None:
        """`limit`: of one key; 0 is any number. `called`: what they are, to those refused."""
        self._limit = limit
        self._called = called
        self._open: Counter[str] = Counter()

    @contextlib.contextmanager
    def open(self, principal: Principal) -> Iterator[None]:
        """One more, for as long as this lasts.

        Raises:
            RateLimited: the key has as many as it may have.
        """
        # A page's secret is its session's: all pages of a service come by one key.
        holder = (
            principal.grant.session_id
            if isinstance(principal, Granted)
            else principal.key_id or principal.account_id
        )
        if self._limit and self._open[holder] >= self._limit:
            raise RateLimited(
                f"This key has {self._limit} {self._called} already.",
                code="too_many_connections",
            )
        self._open[holder] += 1
        try:
            yield
        finally:
            self._open[holder] -= 1
            if not self._open[holder]:
                del self._open[holder]
