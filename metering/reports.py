"""The reports port: what an account used, by day, model, key or session, and what is ahead."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal, Protocol, get_args

import msgspec

Dimension = Literal["day", "model", "key_id", "session_id"]
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)
"""In the order in which rows are sorted."""

DAY_S = 86400
RECENT_DAYS = 7
"""A projection takes the rest of the month to be like these days before it."""


class UsageRow(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over some turns. What they were not grouped by is None; `day` is a UTC date."""

    day: str | None = None
    model: str | None = None
    key_id: str | None = None
    session_id: str | None = None
    turns: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    images: int
    detections: int
    cost_micro_usd: int


class Reports(Protocol):
    """Sums over the ledger. Any call may raise StoreUnavailable."""

    async def usage(
        self,
        account_id: str,
        start: float,
        end: float,
        by: frozenset[Dimension],
        *,
        limit: int,
    ) -> list[UsageRow]:
        """Sums over the turns that ended from `start` to before `end`, in Unix seconds.

        At most `limit` rows, sorted by day, model, key and session. A turn that was said without a
        key has None for its key, also where rows are grouped by it.
        """
        ...


def total(rows: Iterable[UsageRow]) -> UsageRow:
    """The sum of all rows."""
    rows = list(rows)
    names = ("turns", "input_tokens", "cached_tokens", "output_tokens", "images", "detections")
    return UsageRow(
        **{name: sum(getattr(row, name) for row in rows) for name in names},
        cost_micro_usd=sum(row.cost_micro_usd for row in rows),
    )


class Month(msgspec.Struct, frozen=True):
    """A calendar month, UTC, from `start` to before `end`, in Unix seconds."""

    start: float
    end: float

    @classmethod
    def of(cls, at: float) -> "Month":
        """The month of a moment."""
        first = datetime.fromtimestamp(at, UTC).replace(
            day=1, hour=0, minute=0, second=0, microsecond=0
        )
        later = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
        return cls(first.timestamp(), later.timestamp())


def projected_micro_usd(spent_micro_usd: int, recent_micro_usd: int, at: float) -> int:
    """What the month will cost, if the rest of it is like the `RECENT_DAYS` before `at`."""
    left_s = Month.of(at).end - at
    return spent_micro_usd + round(recent_micro_usd * left_s / (RECENT_DAYS * DAY_S))
