import threading
from concurrent.futures import ThreadPoolExecutor

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.openmetrics.exposition import generate_latest

from kosmosx_stream.telemetry.names import Metric
from kosmosx_stream.telemetry.step_meters import StepCounter, StepHistogram

METRIC = Metric("gap", "histogram", "s", "Between two.", (), (0.25, 1.0, 4.0))
VALUES = (0.125, 0.25, 0.5, 2.0, 4.0, 7.0)
"""Their sums are exact, in whatever order."""


def test_it_counts_as_prometheus_does() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    fast = StepHistogram(METRIC, ours)
    slow = Histogram(METRIC.prometheus, METRIC.description, registry=theirs, buckets=METRIC.bounds)
    for value in VALUES:
        fast.observe(value)
        slow.observe(value)
        if value < 2:
            fast.fold()
    assert generate_latest(ours) == generate_latest(theirs)


def test_the_last_of_a_bucket_leads_to_its_trace() -> None:
    registry = CollectorRegistry()
    histogram = StepHistogram(METRIC, registry)
    for trace_id in ("aa", "bb"):
        histogram.observe(0.5)
        histogram.lead(0.5, {"trace_id": trace_id, "span_id": "cc"})
    histogram.observe(7.0)
    (family,) = registry.collect()
    exemplars = {sample.labels["le"]: sample.exemplar for sample in family.samples[:4]}
    assert exemplars["1.0"] is not None
    assert exemplars["1.0"].labels["trace_id"] == "bb"
    assert exemplars["+Inf"] is None


def test_a_counter_adds_up() -> None:
    registry = CollectorRegistry()
    counter = StepCounter(Metric("said", "counter", "{token}", "So many."), registry)
    for amount in (1, 2):
        counter.inc(amount)
        counter.fold()
    counter.inc(4)
    assert registry.get_sample_value("said_total") == 7


def test_nothing_is_lost_to_a_reader_in_another_thread() -> None:
    """A scrape counts while the event loop writes, and folds as well."""
    registry = CollectorRegistry()
    counter = StepCounter(Metric("said", "counter", "{token}", "So many."), registry)
    written = threading.Event()

    def scrape() -> None:
        while not written.is_set():
            counter.fold()

    with ThreadPoolExecutor() as threads:
        scraping = [threads.submit(scrape) for _ in range(2)]
        for _ in range(50_000):
            counter.inc(1)
        written.set()
        for each in scraping:
            each.result()
    assert registry.get_sample_value("said_total") == 50_000
