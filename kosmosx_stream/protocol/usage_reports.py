"""What an account used, on the wire: as JSON, as CSV, and with a look ahead."""

import csv
import io
from collections.abc import Sequence
from typing import Literal

import msgspec

from metering.budgets import Standing, month
from metering.reports import Month, UsageRow, total
from metering.usage import usd


class UsageEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Sums over some turns; `day`, `model`, `key_id` and `session_id` where they are grouped by it.

    A turn that was said without a key has no `key_id`.
    """

    day: str | msgspec.UnsetType = msgspec.UNSET
    model: str | msgspec.UnsetType = msgspec.UNSET
    key_id: str | msgspec.UnsetType = msgspec.UNSET
    session_id: str | msgspec.UnsetType = msgspec.UNSET
    turns: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    total_tokens: int
    images: int
    detections: int
    cost_usd: str


class UsageReport(msgspec.Struct, frozen=True, kw_only=True):
    """The turns that ended from `start` to before `end`, in Unix seconds.

    `has_more`: there are more rows than a report may have; ask for fewer days.
    """

    object: Literal["kosmosx.usage"] = "kosmosx.usage"
    start: int
    end: int
    data: list[UsageEntry]
    total: UsageEntry
    has_more: bool


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """The month so far, and at its end if the rest of it is like the last seven days.

    Without a budget, `limit_usd` and `left_usd` are null.
    """

    object: Literal["kosmosx.usage.forecast"] = "kosmosx.usage.forecast"
    month: str
    spent_usd: str
    projected_usd: str
    limit_usd: str | None
    left_usd: str | None
    ends_at: int


def usage_report(
    rows: Sequence[UsageRow], start: float, end: float, *, has_more: bool
) -> UsageReport:
    """A report of these rows."""
    return UsageReport(
        start=int(start),
        end=int(end),
        data=[_entry(row) for row in rows],
        total=_entry(total(rows)),
        has_more=has_more,
    )


def usage_csv(rows: Sequence[UsageRow], columns: Sequence[str]) -> str:
    """The rows as RFC 4180 has them, under a header; `columns` are what they are grouped by."""
    sums = [name for name in UsageEntry.__struct_fields__ if name not in _DIMENSIONS]
    text = io.StringIO()
    table = csv.DictWriter(text, [*columns, *sums])
    table.writeheader()
    for row in rows:
        entry = msgspec.structs.asdict(_entry(row))
        table.writerow({name: _cell(entry[name]) for name in table.fieldnames})
    return text.getvalue()


def forecast(
    standing: Standing | None, spent_micro_usd: int, projected_micro_usd: int, at: float
) -> Forecast:
    """What the month has cost, and will."""
    return Forecast(
        month=month(at),
        spent_usd=usd(spent_micro_usd),
        projected_usd=usd(projected_micro_usd),
        limit_usd=usd(standing.limit_micro_usd) if standing else None,
        left_usd=usd(standing.left_micro_usd) if standing else None,
        ends_at=int(Month.of(at).end),
    )


_DIMENSIONS = ("day", "model", "key_id", "session_id")


def _entry(row: UsageRow) -> UsageEntry:
    found = {name: getattr(row, name) for name in _DIMENSIONS}
    return UsageEntry(
        **{name: value for name, value in found.items() if value is not None},
        turns=row.turns,
        input_tokens=row.input_tokens,
        cached_tokens=row.cached_tokens,
        output_tokens=row.output_tokens,
        total_tokens=row.input_tokens + row.output_tokens,
        images=row.images,
        detections=row.detections,
        cost_usd=usd(row.cost_micro_usd),
    )


def _cell(value: object) -> object:
    return "" if value is msgspec.UNSET else value
