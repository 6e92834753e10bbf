"""Usage of one response while it is generated: a running sum over its log."""

from collections.abc import Callable

from conversation.entries import Allowance, Delta, Ended, Price, Started
from conversation.items import box_count
from kosmosx_stream.protocol.responses import BudgetField, LiveUsage, MeteredUsage
from metering.usage import usd

CostFn = Callable[[int, int, int, int, Price], int]
"""(input tokens, output tokens, images, detections, price) to micro-dollars, as the bill has it."""


class UsageCounter:
    """Counts what the log's entries add. A detection is a box that was released."""

    def __init__(self, started: Started, cost: CostFn) -> None:
        self._started = started
        self._cost = cost
        self._images = len(started.new_images)
        self._output_tokens = 0
        self._detections = 0
        self._cached_tokens = 0

    def add(self, entry: Delta | Ended) -> None:
        """Count one entry."""
        self._output_tokens += len(entry.token_ids)
        self._detections += box_count(entry.grounding)
        if isinstance(entry, Ended):
            self._cached_tokens = entry.cached_tokens

    def live(self) -> LiveUsage:
        """The sum so far, as deltas carry it."""
        return LiveUsage(
            input_tokens=self._started.input_tokens,
            output_tokens=self._output_tokens,
            images=self._images,
            detections=self._detections,
            cost_usd=self._cost_usd(),
            price_version=self._started.price.version,
        )

    def metered(self) -> MeteredUsage:
        """The sum so far, as responses carry it."""
        return MeteredUsage(
            input_tokens=self._started.input_tokens,
            output_tokens=self._output_tokens,
            cached_tokens=self._cached_tokens,
            total_tokens=self._started.input_tokens + self._output_tokens,
            images=self._images,
            detections=self._detections,
            cost_usd=self._cost_usd(),
            price_version=self._started.price.version,
        )

    def budget(self) -> BudgetField | None:
        """What is left of the account's budget; None where there is none."""
        if (allowance := self._started.allowance) is None:
            return None
        return BudgetField(
            limit_usd=usd(allowance.limit_micro_usd),
            left_usd=usd(self._left_micro_usd(allowance)),
            hard=allowance.granted_micro_usd is not None,
            fallback=allowance.fallback,
        )

    def budget_runs_out(self) -> bool:
        """Whether less than a tenth of the budget is left."""
        allowance = self._started.allowance
        return (
            allowance is not None
            and self._left_micro_usd(allowance) * 10 < allowance.limit_micro_usd
        )

    def _left_micro_usd(self, allowance: Allowance) -> int:
        return allowance.left_micro_usd - self._cost_micro_usd()

    def _cost_usd(self) -> str:
        return usd(self._cost_micro_usd())

    def _cost_micro_usd(self) -> int:
        counts = (self._started.input_tokens, self._output_tokens, self._images, self._detections)
        return self._cost(*counts, self._started.price)
