import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.openmetrics.exposition import generate_latest

from kosmosx_stream.telemetry.names import Label, Metric
from kosmosx_stream.telemetry.step_meters import StepHistogram, StepSum

METRIC = Metric("gap", "histogram", "s", "Between two.", (), (0.25, 1.0, 4.0))
LABELS = (Label("http.route", "any"), Label("state", "any"))
SAID = Metric("said", "counter", "{token}", "So many.")
VALUES = (0.125, 0.25, 0.5, 2.0, 4.0, 7.0)
"""Their sums are exact, in whatever order."""


def test_it_counts_as_prometheus_does() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    fast = StepHistogram(METRIC, ours)
    slow = Histogram(METRIC.prometheus, METRIC.description, registry=theirs, buckets=METRIC.bounds)
    for value in VALUES:
        fast.labels().observe(value)
        slow.observe(value)
        if value < 2:
            fast.fold()
    assert generate_latest(ours) == generate_latest(theirs)


def test_series_are_told_apart_as_prometheus_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1.0)
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    metrics = (
        Metric("gap", "histogram", "s", "Between two.", LABELS, METRIC.bounds),
        Metric("said", "counter", "{token}", "So many.", LABELS),
        Metric("open", "gauge", "{connection}", "Now.", LABELS),
    )
    labels = [label.prometheus for label in LABELS]
    gap, said, now = metrics
    fast, fast_said, fast_now = StepHistogram(gap, ours), StepSum(said, ours), StepSum(now, ours)
    slow = Histogram(gap.prometheus, gap.description, labels, registry=theirs, buckets=gap.bounds)
    slow_said = Counter(said.prometheus, said.description, labels, registry=theirs)
    slow_now = Gauge(now.prometheus, now.description, labels, registry=theirs)
    assert generate_latest(ours) == generate_latest(theirs)
    exemplar = {"trace_id": "aa", "span_id": "cc"}
    for value, series in zip(VALUES, [("/", "a"), ("/", "b"), ("/x", "a")] * 2, strict=True):
        fast.labels(*series).observe(value)
        slow.labels(*series).observe(value)
        fast_said.labels(*series).inc(value)
        slow_said.labels(*series).inc(value)
        for amount in (value, -1):
            fast_now.labels(*series).inc(amount)
            slow_now.labels(*series).inc(amount)
    fast.labels("/", "a").observe(0.5)
    fast.labels("/", "a").lead(0.5, exemplar)
    fast.labels("/", "b").lead(0.5, None)
    slow.labels("/", "a").observe(0.5, exemplar)
    assert generate_latest(ours) == generate_latest(theirs)


def test_the_last_of_a_bucket_leads_to_its_trace() -> None:
    registry = CollectorRegistry()
    histogram = StepHistogram(METRIC, registry)
    for trace_id in ("aa", "bb"):
        histogram.labels().observe(0.5)
        histogram.labels().lead(0.5, {"trace_id": trace_id, "span_id": "cc"})
    histogram.labels().observe(7.0)
    (family,) = registry.collect()
    exemplars = {sample.labels["le"]: sample.exemplar for sample in family.samples[:4]}
    assert exemplars["1.0"] is not None
    assert exemplars["1.0"].labels["trace_id"] == "bb"
    assert exemplars["+Inf"] is None


def test_a_counter_adds_up() -> None:
    registry = CollectorRegistry()
    counter = StepSum(SAID, registry)
    for amount in (1, 2):
        counter.labels().inc(amount)
        counter.fold()
    counter.labels().inc(4)
    assert registry.get_sample_value("said_total") == 7


def test_nothing_is_lost_to_a_reader_in_another_thread() -> None:
    """A scrape counts while the event loop writes, and folds as well."""
    registry = CollectorRegistry()
    counter = StepSum(SAID, registry)
    written = threading.Event()

    def scrape() -> None:
        while not written.is_set():
            counter.fold()

    with ThreadPoolExecutor() as threads:
        scraping = [threads.submit(scrape) for _ in range(2)]
        for _ in range(50_000):
            counter.labels().inc(1)
        written.set()
        for each in scraping:
            each.result()
    assert registry.get_sample_value("said_total") == 50_000
