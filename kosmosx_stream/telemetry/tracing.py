"""Spans: where they go, which of them are kept, and how a trace goes on elsewhere.

A trace context travels as W3C's `traceparent`: in from a client's headers, and with a turn's first
log entry to whoever adopts the turn.
"""

from collections.abc import Mapping
from contextvars import Token
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from kosmosx_stream.telemetry import names

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

_w3c = TraceContextTextMapPropagator()
TRACEPARENT = "traceparent"

Attributes = Mapping[str, AttributeValue]


def context_of(headers: Mapping[str, str]) -> Context:
    """The trace that a request is part of; an empty one where it names none, or a malformed one."""
    carrier = {name: headers[name] for name in (TRACEPARENT, "tracestate") if name in headers}
    return _w3c.extract(carrier, Context())


def traceparent(span: Span) -> str:
    """A span's context, for one that goes on elsewhere; empty if there is none."""
    carrier: dict[str, str] = {}
    _w3c.inject(carrier, trace.set_span_in_context(span, Context()))
    return carrier.get(TRACEPARENT, "")


def exemplar(span: Span) -> dict[str, str] | None:
    """What leads from a measurement to its trace; None where the trace is not kept."""
    context = span.get_span_context()
    if not context.trace_flags.sampled:
        return None
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }


class Traces:
    """Begins spans. Without a provider they are not kept, and cost next to nothing."""

    def __init__(self, provider: "TracerProvider | None" = None) -> None:
        self._provider = provider
        self._tracer: Tracer = (
            trace.NoOpTracer() if provider is None else provider.get_tracer("kosmosx_stream")
        )

    def begin(
        self,
        name: str,
        *,
        parent: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        links: tuple[Link, ...] = (),
        attributes: Attributes | None = None,
    ) -> Span:
        """A span, which is to be ended; below the current one unless `parent` says otherwise.

        In a trace that is not kept it is the one above, which takes nothing.
        """
        above = trace.get_current_span(parent)
        context = above.get_span_context()
        if context.is_valid and not context.trace_flags.sampled:
            return above  # What the sampler would say, at a tenth of the cost.
        return self._tracer.start_span(
            name, context=parent, kind=kind, links=links, attributes=attributes
        )

    def span(
        self, name: str, *, parent: Context | None = None, kind: SpanKind = SpanKind.INTERNAL
    ) -> "Current":
        """The current span until this is left; an error that leaves it is its error."""
        return Current(self.begin(name, parent=parent, kind=kind))

    def close(self) -> None:
        """Send what was not sent yet; takes as long as the exporter's deadline at most."""
        if self._provider is not None:
            self._provider.shutdown()


class Current:
    """Makes a span the current one, and ends it; a class, as each turn has several."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: Span) -> None:
        self._span = span
        self._token: Token[Context] | None = None

    def __enter__(self) -> Span:
        if self._span is not trace.get_current_span():
            self._token = attach(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if self._token is not None:
            detach(self._token)
        if isinstance(error, Exception):
            # Not its message: it may quote what a client said.
            fail(self._span, getattr(error, "code", type(error).__name__))
        self._span.end()


def fail(span: Span, code: str) -> None:
    """Mark a span as failed."""
    if span.is_recording():
        span.set_attribute(names.ERROR_TYPE.name, code)
        span.set_status(Status(StatusCode.ERROR))


def make_provider(processor: "SpanProcessor", *, ratio: float) -> "TracerProvider":
    """A provider that keeps `ratio` of the traces that begin here, and goes by the caller's word.

    Service name and other resource attributes: `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`.
    """
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - only where it is used
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415

    from kosmosx_stream.telemetry.resource import resource  # noqa: PLC0415

    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(ratio)),
        resource=resource(),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(processor)
    return provider
