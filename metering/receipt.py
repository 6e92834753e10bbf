"""From ledger rows to the receipt of a session. Pure."""

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from metering.usage import METERS, LedgerRow, Meter, usd


class ReceiptLine(msgspec.Struct, frozen=True, kw_only=True):
    """All of a session's units of one meter at one price.

    `units` were counted, `billable_units` are charged. Amounts are exact decimals of dollars.
    """

    meter: Meter
    units: int
    billable_units: int
    unit_price_usd: str
    amount_usd: str
    price_version: str


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What a session costs. `price_version` is the newest one in it; None if nothing was billed.

    A session that lived through a change of prices has lines for each version.
    """

    lines: tuple[ReceiptLine, ...]
    total_usd: str
    price_version: str | None


class _LineKey(msgspec.Struct, frozen=True):
    price_version: str
    meter: Meter
    unit_price_micro_usd: int


class _Sums(msgspec.Struct):
    units: int = 0
    billable_units: int = 0
    cost_micro_usd: int = 0

    def add(self, row: LedgerRow) -> None:
        self.units += row.raw_units
        self.billable_units += row.billable_units
        self.cost_micro_usd += row.cost_micro_usd


def receipt(rows: Iterable[LedgerRow]) -> Receipt:
    """Sum the rows, whatever their order; the total is exactly the sum of their costs."""
    sums: dict[_LineKey, _Sums] = defaultdict(_Sums)
    since: dict[str, float] = {}
    for row in rows:
        key = _LineKey(row.price_version, row.meter, row.unit_price_micro_usd)
        sums[key].add(row)
        since[row.price_version] = min(row.created_at, since.get(row.price_version, row.created_at))
    versions = sorted(since, key=lambda version: (since[version], version))
    keys = sorted(sums, key=lambda key: _order(key, versions))
    return Receipt(
        lines=tuple(_line(key, sums[key]) for key in keys),
        total_usd=usd(sum(line.cost_micro_usd for line in sums.values())),
        price_version=versions[-1] if versions else None,
    )


def _order(key: _LineKey, versions: list[str]) -> tuple[int, int, int]:
    return (versions.index(key.price_version), METERS.index(key.meter), key.unit_price_micro_usd)


def _line(key: _LineKey, sums: _Sums) -> ReceiptLine:
    return ReceiptLine(
        meter=key.meter,
        units=sums.units,
        billable_units=sums.billable_units,
        unit_price_usd=usd(key.unit_price_micro_usd),
        amount_usd=usd(sums.cost_micro_usd),
        price_version=key.price_version,
    )
