"""A span of ours is sent as the SDK would have sent it."""

from collections.abc import Callable

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, Span, SpanKind

from kosmosx_stream.telemetry.kept_traces import KeptTraces
from kosmosx_stream.telemetry.resource import resource
from kosmosx_stream.telemetry.tracing import fail

ABOVE = trace.SpanContext(1, 2, is_remote=True, trace_flags=trace.TraceFlags(1))
BELOW = {"name": "engine", "kind": SpanKind.CLIENT, "links": (Link(ABOVE),)}
Begin = Callable[..., Span]


def tell(begin: Begin) -> None:
    """All that a span is told anywhere."""
    with trace.use_span(trace.NonRecordingSpan(ABOVE)), trace.use_span(begin("turn")) as turn:
        below = begin(**BELOW)
    below.set_attribute("count", 1)
    below.set_attributes({"reasons": ("stop",), "temperature": 0.5})
    below.update_name("engine 1")
    below.add_event("first_token")
    fail(below, "lost")
    below.end()
    turn.end()


def sent(exporter: InMemorySpanExporter) -> ResourceSpans:
    """The span below, as a collector gets it, without what no two have in common."""
    below, turn = exporter.get_finished_spans()
    (of_resource,) = encode_spans([below]).resource_spans
    (of_scope,) = of_resource.scope_spans
    (span,) = of_scope.spans
    assert below.context.trace_id == ABOVE.trace_id
    assert below.parent == turn.context
    assert below.context.span_id not in (0, turn.context.span_id)
    assert turn.start_time <= below.start_time <= span.events[0].time_unix_nano <= below.end_time
    span.span_id = span.parent_span_id = b""
    span.start_time_unix_nano = span.end_time_unix_nano = span.events[0].time_unix_nano = 0
    return of_resource


def test_a_collector_sees_no_difference() -> None:
    ours, theirs = InMemorySpanExporter(), InMemorySpanExporter()
    tell(KeptTraces(SimpleSpanProcessor(ours), ratio=0).begin)
    provider = TracerProvider(resource=resource(), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(theirs))
    tell(provider.get_tracer("kosmosx_stream").start_span)
    assert sent(ours) == sent(theirs)
