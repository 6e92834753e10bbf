"""The meters as OpenTelemetry has them, and their way to a collector.

What Prometheus scrapes and what is sent here are the same numbers, from the same registry.
"""

import asyncio
import logging
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample

from kosmosx_stream.telemetry import names
from kosmosx_stream.telemetry.resource import resource

logger = logging.getLogger(__name__)

SCOPE = InstrumentationScope("kosmosx_stream")
NS_PER_S = 1_000_000_000
_UNKNOWN = cast("float", None)
"""The protocol lets extremes be left out, the type does not."""

_OURS = {metric.prometheus.removesuffix("_total"): metric for metric in names.METRICS}


class MetricsSender:
    """Sends all that is in a registry, again and again."""

    def __init__(self, registry: CollectorRegistry, exporter: MetricExporter) -> None:
        self._registry = registry
        self._exporter = exporter
        self._began_ns = time.time_ns()

    async def run(self) -> None:
        """Send until cancelled, and once more then; `OTEL_METRIC_EXPORT_INTERVAL` is in ms."""
        interval_s = float(os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", "60000")) / 1000
        try:
            while True:
                await asyncio.sleep(interval_s)
                await self.send()
        finally:
            await self.send()

    async def send(self) -> None:
        """Send once. A collector that is away is told of the sums when it is back."""
        data = read(self._registry, self._began_ns, time.time_ns())
        try:
            result = await asyncio.to_thread(self._exporter.export, data)
        except Exception:
            logger.exception("metrics could not be sent")
        else:
            if result is not MetricExportResult.SUCCESS:
                logger.warning("the collector did not take the metrics")


def read(registry: CollectorRegistry, began_ns: int, now_ns: int) -> MetricsData:
    """What the registry has, under OpenTelemetry's names; times in Unix nanoseconds."""
    metrics = [_metric(family, began_ns, now_ns) for family in registry.collect()]
    scope = ScopeMetrics(SCOPE, [metric for metric in metrics if metric is not None], "")
    return MetricsData([ResourceMetrics(resource(), [scope], "")])


def _metric(family: Family, began_ns: int, now_ns: int) -> Metric | None:
    ours = _OURS.get(family.name)
    data: Sum | Gauge | Histogram
    match family.type:
        case "counter":
            points = list(_numbers(family, ours, began_ns, now_ns))
            data = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
        case "histogram":
            found = list(_histograms(family, ours, began_ns, now_ns))
            data = Histogram(found, AggregationTemporality.CUMULATIVE)
        case _:
            data = Gauge(list(_numbers(family, ours, began_ns, now_ns)))
    if not data.data_points:
        return None
    name, unit = (family.name, "") if ours is None else (ours.name, ours.unit)
    return Metric(name, family.documentation, unit, data)


def _numbers(
    family: Family, ours: names.Metric | None, began_ns: int, now_ns: int
) -> Iterator[NumberDataPoint]:
    for sample in family.samples:
        attributes = _attributes(sample.labels, ours)
        yield NumberDataPoint(attributes, began_ns, now_ns, sample.value)


def _histograms(
    family: Family, ours: names.Metric | None, began_ns: int, now_ns: int
) -> Iterator[HistogramDataPoint]:
    series: dict[tuple[tuple[str, str], ...], list[Sample]] = defaultdict(list)
    for sample in family.samples:
        labels = {name: value for name, value in sample.labels.items() if name != "le"}
        series[tuple(labels.items())].append(sample)
    for labels_of, samples in series.items():
        buckets = [each for each in samples if each.name.endswith("_bucket")]
        (total,) = (each.value for each in samples if each.name.endswith("_sum"))
        upto = [int(bucket.value) for bucket in buckets]
        yield HistogramDataPoint(
            attributes=_attributes(dict(labels_of), ours),
            start_time_unix_nano=began_ns,
            time_unix_nano=now_ns,
            count=upto[-1],
            sum=total,
            bucket_counts=[here - below for below, here in zip([0, *upto], upto, strict=False)],
            explicit_bounds=[float(bucket.labels["le"]) for bucket in buckets[:-1]],
            min=_UNKNOWN,
            max=_UNKNOWN,
            exemplars=list(_exemplars(buckets)),
        )


def _attributes(labels: Mapping[str, str], ours: names.Metric | None) -> dict[str, str]:
    """The labels under OpenTelemetry's names; none for what is empty."""
    known = {} if ours is None else {label.prometheus: label.name for label in ours.labels}
    return {known.get(name, name): value for name, value in labels.items() if value}


def _exemplars(samples: Iterable[Sample]) -> Iterator[Exemplar]:
    for sample in samples:
        kept = sample.exemplar
        if kept is not None:
            at_ns = int(float(kept.timestamp or 0) * NS_PER_S)
            span_id, trace_id = (int(kept.labels[name], 16) for name in ("span_id", "trace_id"))
            yield Exemplar({}, kept.value, at_ns, span_id, trace_id)
