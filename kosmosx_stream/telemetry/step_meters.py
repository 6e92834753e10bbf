"""Instruments for what happens at every step of the engine: they take a value for an append.

Only the event loop's thread writes them. What they took is counted together: whenever somebody
reads them, and by `fold`, which has to be called now and then. Counted at once, as
prometheus_client does, a value would cost ten times as much, and an entry has four.
"""

import threading
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from kosmosx_stream.telemetry.names import Metric


class _Taken:
    """Values that were not counted yet. They may be taken out from another thread than put in."""

    def __init__(self) -> None:
        self._values = array("d")
        self.add = self._values.append
        self.counting = threading.Lock()
        """To be held by who takes them out, until they are counted."""

    def out(self) -> NDArray[np.float64]:
        """All that came so far; what comes meanwhile is for the next time."""
        values = self._values[:]
        del self._values[: len(values)]
        return np.frombuffer(values)


class StepCounter(Collector):
    """A counter without labels."""

    def __init__(self, metric: Metric, registry: CollectorRegistry) -> None:
        self._metric = metric
        self._value = 0.0
        self._taken = _Taken()
        self.inc: Callable[[float], None] = self._taken.add
        registry.register(self)

    def fold(self) -> None:
        """Count what was taken."""
        with self._taken.counting:
            self._value += float(self._taken.out().sum())

    def collect(self) -> Iterator[CounterMetricFamily]:
        """What the registry asks for."""
        self.fold()
        metric = self._metric
        yield CounterMetricFamily(metric.prometheus, metric.description, self._value)


class StepHistogram(Collector):
    """A histogram without labels."""

    def __init__(self, metric: Metric, registry: CollectorRegistry) -> None:
        self._metric = metric
        self._bounds = (*metric.bounds, float("inf"))
        self._counts = np.zeros(len(self._bounds), np.int64)
        """How many values were in each bucket."""
        self._sum = 0.0
        self._exemplars: dict[int, Exemplar] = {}
        """The last of each bucket."""
        self._taken = _Taken()
        self.observe: Callable[[float], None] = self._taken.add
        registry.register(self)

    def lead(self, value: float, exemplar: dict[str, str]) -> None:
        """Keep what leads from a value to its trace."""
        place = bisect_left(self._bounds, value)
        self._exemplars[place] = Exemplar(exemplar, value, time.time())

    def fold(self) -> None:
        """Count what was taken."""
        with self._taken.counting:
            values = self._taken.out()
            self._sum += float(values.sum())
            places = np.searchsorted(self._bounds, values)
            self._counts += np.bincount(places, minlength=len(self._bounds))

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """What the registry asks for."""
        self.fold()
        metric = self._metric
        family = HistogramMetricFamily(metric.prometheus, metric.description)
        family.add_metric([], list(self._buckets()), self._sum)
        yield family

    def _buckets(self) -> Iterator[tuple[str, float] | tuple[str, float, Exemplar]]:
        exemplars: Mapping[int, Exemplar] = dict(self._exemplars)
        uptos = self._counts.cumsum().tolist()
        for place, (bound, upto) in enumerate(zip(self._bounds, uptos, strict=True)):
            name: str = floatToGoString(bound)  # type: ignore[no-untyped-call]
            exemplar = exemplars.get(place)
            yield (name, upto) if exemplar is None else (name, upto, exemplar)
