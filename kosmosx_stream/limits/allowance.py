"""What a turn may cost, and whether it still does. Pure.

The most that a turn can cost is set aside before it begins: its input and all the tokens that it
may say. Where a hard budget has less left, the turn may say fewer tokens; boxes, which are not
known before they are drawn, are weighed as they come.
"""

import msgspec

from conversation.entries import Allowance, Started
from kosmosx_stream.settlement import thaw
from metering.budgets import Hold
from metering.usage import affordable_tokens, live_cost_micro_usd

TOKENS_A_BOX = 2
"""A box takes two location tokens at the least."""


def least_cost_micro_usd(started: Started) -> int:
    """What the turn costs if it says one token."""
    return _cost_micro_usd(started, 1, 0)


def most_cost_micro_usd(started: Started) -> int:
    """What the turn costs if it says all that it may."""
    boxes = started.max_tokens // TOKENS_A_BOX if started.grounding else 0
    return _cost_micro_usd(started, started.max_tokens, boxes)


def allowed(started: Started, hold: Hold, *, fallback: bool = False) -> Started:
    """The turn, held to what it got out of its account's budget; for `fallback` see `Allowance`."""
    if not hold.hard:
        return msgspec.structs.replace(started, allowance=_allowance(hold, None))
    images, prices = len(started.new_images), thaw(started.price)
    tokens = affordable_tokens(hold.granted_micro_usd, started.input_tokens, images, prices)
    shortens = tokens is not None and tokens < started.max_tokens
    return msgspec.structs.replace(
        started,
        max_tokens=tokens if tokens is not None and shortens else started.max_tokens,
        allowance=_allowance(hold, hold.granted_micro_usd, shortens=shortens, fallback=fallback),
    )


def within_allowance(started: Started, output_tokens: int, detections: int) -> bool:
    """Whether the turn may cost what it costs with so many tokens and boxes."""
    if started.allowance is None or started.allowance.granted_micro_usd is None:
        return True
    cost = _cost_micro_usd(started, output_tokens, detections)
    return cost <= started.allowance.granted_micro_usd


def shortened(started: Started) -> bool:
    """Whether the turn may say less than it was asked to, for its budget's sake."""
    return started.allowance is not None and started.allowance.shortens


def _allowance(
    hold: Hold, granted_micro_usd: int | None, *, shortens: bool = False, fallback: bool = False
) -> Allowance:
    return Allowance(
        limit_micro_usd=hold.limit_micro_usd,
        left_micro_usd=hold.left_micro_usd,
        granted_micro_usd=granted_micro_usd,
        shortens=shortens,
        fallback=fallback,
    )


def _cost_micro_usd(started: Started, output_tokens: int, detections: int) -> int:
    return live_cost_micro_usd(
        started.input_tokens,
        output_tokens,
        len(started.new_images),
        detections,
        thaw(started.price),
    )
