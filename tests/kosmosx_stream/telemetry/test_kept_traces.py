"""Which spans are kept, and how they are sent, is as the SDK would have it."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanKind, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from kosmosx_stream.telemetry.kept_traces import KeptTraces
from kosmosx_stream.telemetry.resource import resource
from kosmosx_stream.telemetry.tracing import fail, parent_of, traceparent

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
CALLERS = {flags: {"traceparent": f"{TRACE}-{flags}"} for flags in ("00", "01", "02", "03", "ff")}
CALLERS |= {"none": {}, "state": {**CALLERS["01"], "tracestate": "vendor=1"}}
Begin = Callable[..., Span]


def ours(ratio: float, exporter: InMemorySpanExporter) -> Begin:
    return KeptTraces(SimpleSpanProcessor(exporter), ratio=ratio).begin


def theirs(ratio: float, exporter: InMemorySpanExporter) -> Begin:
    sampler = ParentBased(TraceIdRatioBased(ratio))
    provider = TracerProvider(sampler=sampler, resource=resource(), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("kosmosx_stream")

    def begin(name: str, *, parent: Span, kind: SpanKind, links: tuple[Link, ...] = ()) -> Span:
        return tracer.start_span(name, set_span_in_context(parent), kind=kind, links=links)

    return begin


def tell(begin: Begin, caller: Span) -> None:
    """All that spans are told anywhere."""
    random.seed(7)
    turn = begin("turn", parent=caller, kind=SpanKind.SERVER)
    links = (Link(turn.get_span_context()),)
    below = begin("engine", parent=turn, kind=SpanKind.INTERNAL, links=links)
    below.set_attribute("count", 1)
    below.set_attributes({"reasons": ("stop",), "temperature": 0.5})
    below.update_name("engine 1")
    below.add_event("first_token")
    fail(below, "lost")
    below.end()
    turn.end()


def sent(exporter: InMemorySpanExporter) -> list[ResourceSpans]:
    """What a collector gets, but for the times."""
    found = list(encode_spans(exporter.get_finished_spans()).resource_spans)
    for span in (span for each in found for scope in each.scope_spans for span in scope.spans):
        assert span.start_time_unix_nano <= span.end_time_unix_nano
        span.start_time_unix_nano = span.end_time_unix_nano = 0
        for event in span.events:
            event.time_unix_nano = 0
    return found


@pytest.mark.parametrize("ratio", [0, 1])
@pytest.mark.parametrize("caller", CALLERS)
def test_a_collector_sees_no_difference(caller: str, ratio: float) -> None:
    by_us, by_them = InMemorySpanExporter(), InMemorySpanExporter()
    tell(ours(ratio, by_us), parent_of(CALLERS[caller]))
    tell(theirs(ratio, by_them), parent_of(CALLERS[caller]))
    kept = caller in ("01", "03", "ff", "state") or (caller == "none" and ratio == 1)
    assert bool(by_us.get_finished_spans()) == kept
    assert sent(by_us) == sent(by_them)


@given(trace_id=st.integers(1, 2**128 - 1), ratio=st.floats(0, 1))
def test_of_the_traces_that_begin_here_the_sdks_are_kept(trace_id: int, ratio: float) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(random, "getrandbits", {128: trace_id, 64: 5}.__getitem__)
        span = ours(ratio, InMemorySpanExporter())("turn", parent=INVALID_SPAN)
    chosen = TraceIdRatioBased(ratio).should_sample(None, trace_id, "turn").decision
    assert span.is_recording() == chosen.is_sampled()
    assert span.get_span_context().trace_id == trace_id


@pytest.mark.parametrize("ratio", [0, 1])
def test_a_trace_goes_on_elsewhere_as_the_sdk_says(ratio: float) -> None:
    span = ours(ratio, InMemorySpanExporter())("turn", parent=INVALID_SPAN)
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, set_span_in_context(span))
    assert traceparent(span) == carrier["traceparent"]
    there = parent_of(carrier).get_span_context()
    assert (there.trace_id, there.span_id) == span.get_span_context()[:2]
    assert there.trace_flags == span.get_span_context().trace_flags
