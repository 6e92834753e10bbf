from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.openmetrics.exposition import generate_latest

from kosmosx_stream.telemetry.names import Metric
from kosmosx_stream.telemetry.step_meters import StepCounter, StepHistogram

METRIC = Metric("gap", "histogram", "s", "Between two.", (), (0.001, 0.01, 0.1))
VALUES = (0.0005, 0.001, 0.0011, 0.05, 0.1, 7.0)


def test_it_counts_as_prometheus_does() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    fast = StepHistogram(METRIC, ours)
    slow = Histogram(METRIC.prometheus, METRIC.description, registry=theirs, buckets=METRIC.bounds)
    for value in VALUES:
        fast.observe(value)
        slow.observe(value)
    assert generate_latest(ours) == generate_latest(theirs)


def test_the_last_of_a_bucket_leads_to_its_trace() -> None:
    registry = CollectorRegistry()
    histogram = StepHistogram(METRIC, registry)
    for trace_id in ("aa", "bb"):
        histogram.observe(0.002, {"trace_id": trace_id, "span_id": "cc"})
    histogram.observe(0.5)
    (family,) = registry.collect()
    exemplars = {sample.labels["le"]: sample.exemplar for sample in family.samples[:4]}
    assert exemplars["0.01"] is not None
    assert exemplars["0.01"].labels["trace_id"] == "bb"
    assert exemplars["+Inf"] is None


def test_a_counter_adds_up() -> None:
    registry = CollectorRegistry()
    counter = StepCounter(Metric("said", "counter", "{token}", "So many."), registry)
    for amount in (1, 2):
        counter.inc(amount)
    assert registry.get_sample_value("said_total") == 3
