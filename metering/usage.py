"""From a turn's counts to ledger rows. Pure.

A request without images pays its tokens, at least the price book's minimum. A request with images
pays its images and its tokens, without the minimum. Detections are a line of their own. A turn
that generated nothing is free.
"""

from typing import Literal, get_args

import msgspec

from metering.prices import PriceBook, Tier

Meter = Literal[
    "tokens", "images", "detections", "fallback_tokens", "fallback_images", "fallback_detections"
]
"""Units of the cheaper model are counted apart: whoever sends the bill prices a meter's alike."""
METERS: tuple[Meter, ...] = get_args(Meter)
"""In the order in which they stand on a receipt."""

MICRO_PER_USD = 1_000_000
_METERS: dict[Tier, tuple[Meter, Meter, Meter]] = {
    "main": ("tokens", "images", "detections"),
    "fallback": ("fallback_tokens", "fallback_images", "fallback_detections"),
}


class TurnUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What one turn used, as counted from its log.

    `input_tokens` is the whole prompt as the engine saw it, `cached_tokens` the part of it that
    came from the prefix cache (billed like the rest). `images` are those that this request
    brought. `at` is when the turn ended, in Unix seconds.

    Raises:
        ValueError: a count is negative, or more was cached than there was.
    """

    response_id: str
    session_id: str
    account_id: str
    model: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    images: int
    detections: int
    at: float

    def __post_init__(self) -> None:
        counts = (self.input_tokens, self.cached_tokens, self.output_tokens)
        if min(*counts, self.images, self.detections) < 0:
            raise ValueError(f"{self.response_id}: negative usage")
        if self.cached_tokens > self.input_tokens:
            raise ValueError(f"{self.response_id}: cached_tokens exceeds input_tokens")


class LedgerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One meter's share of a turn. (`response_id`, `meter`) is its identity.

    `raw_units` is what was counted, `billable_units` what is charged for it (the minimum applied);
    `cost_micro_usd` is always `billable_units * unit_price_micro_usd`.
    """

    response_id: str
    session_id: str
    account_id: str
    meter: Meter
    raw_units: int
    billable_units: int
    unit_price_micro_usd: int
    cost_micro_usd: int
    price_version: str
    created_at: float


class _Charge(msgspec.Struct, frozen=True):
    meter: Meter
    raw_units: int
    billable_units: int
    unit_price_micro_usd: int

    @property
    def cost_micro_usd(self) -> int:
        return self.billable_units * self.unit_price_micro_usd


def ledger_rows(usage: TurnUsage, prices: PriceBook) -> tuple[LedgerRow, ...]:
    """The rows that the turn puts into the ledger; none if it generated nothing."""
    charges = _charges(
        usage.input_tokens, usage.output_tokens, usage.images, usage.detections, prices
    )
    return tuple(
        LedgerRow(
            response_id=usage.response_id,
            session_id=usage.session_id,
            account_id=usage.account_id,
            meter=charge.meter,
            raw_units=charge.raw_units,
            billable_units=charge.billable_units,
            unit_price_micro_usd=charge.unit_price_micro_usd,
            cost_micro_usd=charge.cost_micro_usd,
            price_version=prices.version,
            created_at=usage.at,
        )
        for charge in charges
    )


def live_cost_micro_usd(
    input_tokens: int, output_tokens: int, images: int, detections: int, prices: PriceBook
) -> int:
    """What the turn would cost if it ended now: 0 before its first token, then the minimum."""
    charges = _charges(input_tokens, output_tokens, images, detections, prices)
    return sum(charge.cost_micro_usd for charge in charges)


def affordable_tokens(
    micro_usd: int, input_tokens: int, images: int, prices: PriceBook
) -> int | None:
    """How many tokens a turn can say for this much; None where they cost nothing."""
    left = micro_usd - images * prices.image_micro_usd
    if prices.token_micro_usd == 0:
        return None if left >= 0 else 0
    tokens = left // prices.token_micro_usd
    if not images and tokens < prices.minimum_tokens:
        return 0
    return max(0, tokens - input_tokens)


def usd(micro: int) -> str:
    """Micro-dollars as an exact decimal of dollars with at least two places: 26400 is `0.0264`."""
    dollars, rest = divmod(abs(micro), MICRO_PER_USD)
    decimals = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{'-' if micro < 0 else ''}{dollars}.{decimals}"


def _charges(
    input_tokens: int, output_tokens: int, images: int, detections: int, prices: PriceBook
) -> list[_Charge]:
    if output_tokens == 0:
        return []
    tokens = input_tokens + output_tokens
    billable = tokens if images else max(tokens, prices.minimum_tokens)
    of_tokens, of_images, of_detections = _METERS[prices.tier]
    charges = [_Charge(of_tokens, tokens, billable, prices.token_micro_usd)]
    if images:
        charges.append(_Charge(of_images, images, images, prices.image_micro_usd))
    if detections:
        charges.append(_Charge(of_detections, detections, detections, prices.detection_micro_usd))
    return charges
