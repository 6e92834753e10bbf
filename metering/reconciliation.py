"""Whether Stripe has in an hour what we sent, and what may be done if not. Pure."""

from typing import Literal

import msgspec

from metering.usage import Meter

RECONCILE_AFTER_S = 2 * 3600
"""Stripe's summaries are late; after so long without a change they are taken to be complete."""

Outcome = Literal["equal", "repaired", "mismatch", "unsettled"]


class MeterHour(msgspec.Struct, frozen=True, kw_only=True):
    """A customer's use of a meter in one UTC hour; `hour` is the Unix time of its beginning."""

    customer_id: str
    meter: Meter
    hour: int


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What Stripe should have, what it has, and what came of it, in units.

    `ambiguous` is the part of `expected` of which we do not know whether Stripe took it.
    """

    outcome: Outcome
    expected: int
    found: int
    ambiguous: int

    @property
    def missing(self) -> int:
        """What Stripe lacks; negative if it has more than we sent."""
        return self.expected - self.found


def judge(expected: int, found: int, ambiguous: int) -> Verdict:
    """A deficit that ambiguous rows explain is repaired, exactly; no other difference is."""
    outcome: Outcome = "mismatch"
    if found == expected:
        outcome = "equal"
    elif 0 < expected - found <= ambiguous:
        outcome = "repaired"
    return Verdict(outcome=outcome, expected=expected, found=found, ambiguous=ambiguous)
