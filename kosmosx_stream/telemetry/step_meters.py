"""Instruments for what happens at every step of the engine: as prometheus_client's, without locks.

Only the event loop's thread writes them; whoever reads them may see the last step half counted.
That makes them three times as cheap, which is what a token can afford.
"""

import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from kosmosx_stream.telemetry.names import Metric


class StepCounter(Collector):
    """A counter without labels."""

    def __init__(self, metric: Metric, registry: CollectorRegistry) -> None:
        self._metric = metric
        self._value = 0
        registry.register(self)

    def inc(self, amount: int) -> None:
        self._value += amount

    def collect(self) -> Iterator[CounterMetricFamily]:
        """What the registry asks for."""
        metric = self._metric
        yield CounterMetricFamily(metric.prometheus, metric.description, self._value)


class StepHistogram(Collector):
    """A histogram without labels."""

    def __init__(self, metric: Metric, registry: CollectorRegistry) -> None:
        self._metric = metric
        self._bounds = metric.bounds
        self._counts = [0] * (len(metric.bounds) + 1)
        self._sum = 0.0
        self._exemplars: dict[int, Exemplar] = {}
        """The last of each bucket."""
        registry.register(self)

    def observe(self, value: float, exemplar: dict[str, str] | None = None) -> None:
        """Count a value, and what leads from it to its trace."""
        place = bisect_left(self._bounds, value)
        self._counts[place] += 1
        self._sum += value
        if exemplar is not None:
            self._exemplars[place] = Exemplar(exemplar, value, time.time())

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """What the registry asks for."""
        metric = self._metric
        family = HistogramMetricFamily(metric.prometheus, metric.description)
        family.add_metric([], list(self._buckets()), self._sum)
        yield family

    def _buckets(self) -> Iterator[tuple[str, float] | tuple[str, float, Exemplar]]:
        upto = 0
        exemplars: Mapping[int, Exemplar] = dict(self._exemplars)
        bounds = (*self._bounds, float("inf"))
        for place, (bound, count) in enumerate(zip(bounds, list(self._counts), strict=True)):
            upto += count
            name: str = floatToGoString(bound)  # type: ignore[no-untyped-call]
            exemplar = exemplars.get(place)
            yield (name, upto) if exemplar is None else (name, upto, exemplar)
