"""The instruments: one for each metric of `names`, bound to its labels before it is used.

They are prometheus_client's, not OpenTelemetry's: recording is ten times as cheap (0.6 us against
5), and their exemplars reach Prometheus. `otlp_metrics` reads the same registry. Those that every
token or turn moves are cheaper still (`step_meters`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeVar, cast, get_args

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from conversation.entries import EndReason
from kosmosx_stream.telemetry import names
from kosmosx_stream.telemetry.names import Metric
from kosmosx_stream.telemetry.step_meters import HistogramSeries, StepHistogram, StepSum
from kosmosx_stream.telemetry.vllm_families import VllmFamilies

PROVIDER_NAME = "kosmosx"
TRANSPORTS = ("http", "websocket")

_Kind = TypeVar("_Kind", Counter, Gauge)
_Step = TypeVar("_Step", StepSum, StepHistogram)
_Series_co = TypeVar("_Series_co", covariant=True)


class _Family(Protocol[_Series_co]):
    """A metric with labels."""

    def labels(self, *values: str) -> _Series_co: ...


class Meters:
    """Every instrument of one server; those of a server that measures nothing do nothing."""

    def __init__(self, *, models: Sequence[str], version: str, enabled: bool = True) -> None:
        """`models`: the served models' names; a turn of another one counts as the first one's."""
        self.enabled = enabled
        self.registry = CollectorRegistry()
        self._steps: list[StepSum | StepHistogram] = []
        self.turns = self._each(self._sum(names.TURNS), get_args(EndReason))
        first_token = self._histogram(names.TIME_TO_FIRST_TOKEN)
        per_token = self._histogram(names.TIME_PER_OUTPUT_TOKEN)
        duration = self._histogram(names.REQUEST_DURATION)
        series = {model: ("chat", PROVIDER_NAME, model) for model in models}
        self._models = {
            model: ModelMeters(
                first_token.labels(*labels),
                per_token.labels(*labels),
                partial(duration.labels, *labels),
            )
            for model, labels in series.items()
        }
        self.inter_token_gap = self._histogram(names.INTER_TOKEN_GAP).labels()
        self.follow_lag = self._histogram(names.FOLLOW_LAG).labels()
        self.refusals = self._counter(names.REFUSALS)
        self.http_duration = self._histogram(names.HTTP_DURATION).labels
        self.connections = self._each(self._sum(names.CONNECTIONS_OPEN), TRANSPORTS)
        self.engine_losses = self._counter(names.ENGINE_LOSSES)
        self.commit_duration = self._histogram(names.COMMIT_DURATION).labels()
        self.commit_writes = self._histogram(names.COMMIT_WRITES).labels()
        self.commit_failures = self._each(
            self._counter(names.COMMIT_FAILURES), ("fenced", "conflict", "unavailable")
        )
        self.tokens_committed = self._sum(names.TOKENS_COMMITTED).labels()
        self.adoptions = self._each(
            self._counter(names.ADOPTIONS), ("continued", "ended", "settled")
        )
        self.turns_lost = self._counter(names.TURNS_LOST)
        self.loop_lag = self._histogram(names.LOOP_LAG).labels()
        self.tokens = self._each(self._sum(names.TOKENS), ("input", "output"))
        self.tokens_cached = self._sum(names.TOKENS_CACHED).labels()
        self.images = self._sum(names.IMAGES).labels()
        self.detections = self._sum(names.DETECTIONS).labels()
        self.cost_micro_usd = self._sum(names.COST).labels()
        self.settlements = self._each(
            self._sum(names.SETTLEMENTS), ("recorded", "repeated", "late", "failed")
        )
        self.books_up = self._gauge(names.BOOKS_UP)
        self.outbox_rows = self._each(
            self._gauge(names.OUTBOX_ROWS), ("pending", "ambiguous", "dead", "expired")
        )
        self.outbox_unlinked = self._gauge(names.OUTBOX_UNLINKED)
        self.outbox_age = self._gauge(names.OUTBOX_AGE)
        self.reconcile_hours = self._gauge(names.RECONCILE_HOURS)
        self.reconcile_delta = self._gauge(names.RECONCILE_DELTA)
        self.ready = self._gauge(names.READY)
        self.engine_ready = self._gauge(names.ENGINE_READY)
        self._gauge(names.BUILD).labels(version).set(1)
        if enabled:
            ProcessCollector(registry=self.registry)
            PlatformCollector(registry=self.registry)
            GCCollector(registry=self.registry)
            self.registry.register(VllmFamilies())

    def of(self, model: str) -> "ModelMeters":
        """Those of one model. A server may have been renamed since a turn began."""
        return self._models.get(model) or next(iter(self._models.values()))

    def show(self, states: Mapping[Metric, Callable[[], float]]) -> None:
        """Have these gauges read whenever somebody asks for them."""
        for metric, read in states.items():
            self._gauge(metric).set_function(read)

    def fold(self) -> None:
        """Count what the steps' instruments took; a few times a second, or they keep it all."""
        for each in self._steps:
            each.fold()

    def refused(self, code: str, transport: str) -> None:
        """Count a refusal."""
        self.refusals.labels(code, transport).inc()

    # -- making ----------------------------------------------------------------------------

    def _counter(self, metric: Metric) -> Counter:
        return self._make(Counter, metric)

    def _gauge(self, metric: Metric) -> Gauge:
        return self._make(Gauge, metric)

    @staticmethod
    def _each(metric: _Family[_Series_co], values: Iterable[str]) -> dict[str, _Series_co]:
        """Its series, all there from the beginning: the first event is a rise too."""
        return {value: metric.labels(value) for value in values}

    def _sum(self, metric: Metric) -> StepSum:
        return self._step(StepSum, metric)

    def _histogram(self, metric: Metric) -> StepHistogram:
        return self._step(StepHistogram, metric)

    def _step(self, kind: type[_Step], metric: Metric) -> _Step:
        if not self.enabled:
            return cast("_Step", _NOTHING)
        made = kind(metric, self.registry)
        self._steps.append(made)
        return made

    def _make(self, kind: type[_Kind], metric: Metric) -> _Kind:
        if not self.enabled:
            return cast("_Kind", _NOTHING)
        labels = [label.prometheus for label in metric.labels]
        return kind(metric.prometheus, metric.description, labels, registry=self.registry)


class ModelMeters(msgspec.Struct, frozen=True):
    """What is measured of each model by itself."""

    time_to_first_token: HistogramSeries
    time_per_output_token: HistogramSeries
    request_duration: Callable[[str], HistogramSeries]
    """Takes the code of the error that ended the turn, or nothing."""


class _Nothing:
    """An instrument of a server that measures nothing."""

    def labels(self, *_values: str) -> "_Nothing":
        return self

    def inc(self, _amount: float = 1) -> None: ...
    def set(self, _value: float) -> None: ...
    def set_function(self, _read: Callable[[], float]) -> None: ...
    def observe(self, _value: float) -> None: ...
    def lead(self, _value: float, _exemplar: dict[str, str] | None) -> None: ...
    def observe_traced(self, _value: float, _exemplar: dict[str, str] | None) -> None: ...


_NOTHING = _Nothing()

# When a series began is of no use to anybody, and doubles what is scraped.
disable_created_metrics()  # type: ignore[no-untyped-call]
