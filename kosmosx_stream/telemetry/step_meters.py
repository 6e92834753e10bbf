"""Instruments for what happens at every step and every turn: they take a value for an append.

Only the event loop's thread writes them. What they took is counted together: whenever somebody
reads them, and by `fold`, which has to be called now and then. Counted at once, as
prometheus_client does, a value would cost ten times as much; an entry has four, a turn a dozen.
"""

import threading
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from kosmosx_stream.telemetry.names import Metric


class SumSeries:
    """A number that is added to, or taken from."""

    def __init__(self, _metric: Metric) -> None:
        self.value: float = 0  # What is added to it are integers.

    def inc(self, amount: float) -> None:
        """Add. No lock: one thread writes."""
        self.value += amount

    def fold(self) -> None:
        """It is counted already."""


class HistogramSeries:
    """How many values were in each bucket, and what they come to."""

    def __init__(self, metric: Metric) -> None:
        self._values = array("d")
        """Those that were not counted yet."""
        self._counting = threading.Lock()
        self.observe: Callable[[float], None] = self._values.append
        self.sum = 0.0
        self._bounds = (*metric.bounds, float("inf"))
        self._places = np.array(self._bounds)
        self._counts = np.zeros(len(self._bounds), np.int64)
        self._exemplars: dict[int, Exemplar] = {}
        """The last of each bucket."""

    def fold(self) -> None:
        """Count all that came so far; what comes meanwhile is for the next time."""
        with self._counting:
            values = self._values[:]
            if not values:
                return
            del self._values[: len(values)]
            taken = np.frombuffer(values)
            self.sum += float(taken.sum())
            places = np.searchsorted(self._places, taken)
            self._counts += np.bincount(places, minlength=len(self._places))

    def lead(self, value: float, exemplar: dict[str, str] | None) -> None:
        """Keep what leads from a value to its trace, if that is kept."""
        if exemplar is not None:
            place = bisect_left(self._bounds, value)
            self._exemplars[place] = Exemplar(exemplar, value, time.time())

    def observe_traced(self, value: float, exemplar: dict[str, str] | None) -> None:
        """Take a value, and keep what leads to its trace."""
        self.observe(value)
        self.lead(value, exemplar)

    def buckets(self) -> Iterator[tuple[str, float] | tuple[str, float, Exemplar]]:
        """How many values were up to each bound."""
        exemplars: Mapping[int, Exemplar] = dict(self._exemplars)
        uptos = self._counts.cumsum().tolist()
        for place, (bound, upto) in enumerate(zip(self._bounds, uptos, strict=True)):
            name: str = floatToGoString(bound)  # type: ignore[no-untyped-call]
            exemplar = exemplars.get(place)
            yield (name, upto) if exemplar is None else (name, upto, exemplar)


_Kind = TypeVar("_Kind", SumSeries, HistogramSeries)


class _StepMeter(Collector, Generic[_Kind]):
    """A metric and its series."""

    def __init__(self, kind: type[_Kind], metric: Metric, registry: CollectorRegistry) -> None:
        self._kind: type[_Kind] = kind
        self._metric = metric
        self._names = [label.prometheus for label in metric.labels]
        self._series: dict[tuple[str, ...], _Kind] = {}
        registry.register(self)

    def labels(self, *values: str) -> _Kind:
        """The series with these labels, which is there from then on."""
        series = self._series.get(values)
        if series is None:
            series = self._series[values] = self._kind(self._metric)
        return series

    def fold(self) -> None:
        """Count what was taken."""
        for _ in self._folded():
            pass

    def _folded(self) -> Iterator[tuple[tuple[str, ...], _Kind]]:
        # A copy: who reads may be in another thread than who adds a series.
        for labels, series in list(self._series.items()):
            series.fold()
            yield labels, series


class StepSum(_StepMeter[SumSeries]):
    """A counter, or a gauge of how many there are."""

    def __init__(self, metric: Metric, registry: CollectorRegistry) -> None:
        super().__init__(SumSeries, metric, registry)

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """What the registry asks for."""
        metric = self._metric
        kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        family = kind(metric.prometheus, metric.description, labels=self._names)
        for labels, series in self._folded():
            family.add_metric(labels, float(series.value))
        yield family


class StepHistogram(_StepMeter[HistogramSeries]):
    """A histogram."""

    def __init__(self, metric: Metric, registry: CollectorRegistry) -> None:
        super().__init__(HistogramSeries, metric, registry)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """What the registry asks for."""
        metric = self._metric
        family = HistogramMetricFamily(metric.prometheus, metric.description, labels=self._names)
        for labels, series in self._folded():
            family.add_metric(labels, list(series.buckets()), series.sum)
        yield family
