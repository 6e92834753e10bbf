"""Telemetry as the settings want it: what is measured, where it is served, where it is sent."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version

from prometheus_client import CollectorRegistry, start_http_server

from kosmosx_stream.cancelling import meanwhile
from kosmosx_stream.settings import Settings
from kosmosx_stream.telemetry.meters import Meters
from kosmosx_stream.telemetry.telemetry import Telemetry
from kosmosx_stream.telemetry.tracing import Traces

EXPORT_TIMEOUT_S = 3.0
"""A collector has so long to take a batch. One that is gone delays the end by twice that."""


def make_telemetry(settings: Settings) -> Telemetry:
    """Meters, and traces if there is a collector to send them to."""
    endpoint = settings.otlp_endpoint
    meters = Meters(
        models=[each.model_name for each in (settings, settings.fallback) if each is not None],
        version=version("kosmosx-stream"),
        enabled=settings.metrics or endpoint is not None,
    )
    if endpoint is None or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Telemetry(meters, Traces())
    # It takes a while to import, and most who try the server out have no collector.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    from kosmosx_stream.telemetry.kept_traces import KeptTraces  # noqa: PLC0415

    exporter = OTLPSpanExporter(f"{endpoint}/v1/traces", timeout=EXPORT_TIMEOUT_S)
    return Telemetry(meters, KeptTraces(BatchSpanProcessor(exporter), ratio=settings.trace_ratio))


@contextlib.asynccontextmanager
async def sending(telemetry: Telemetry, settings: Settings) -> AsyncIterator[None]:
    """Serve and send until this is left; then what is left is sent."""
    own = settings.metrics_address if settings.metrics else None
    with served(telemetry.meters.registry, own):
        async with _metrics_sent(telemetry.meters, settings.otlp_endpoint):
            try:
                yield
            finally:
                await asyncio.to_thread(telemetry.traces.close)


@contextlib.asynccontextmanager
async def _metrics_sent(meters: Meters, endpoint: str | None) -> AsyncIterator[None]:
    """To the collector, if there is one."""
    if endpoint is None:
        yield
        return
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415
        OTLPMetricExporter,
    )

    from kosmosx_stream.telemetry.otlp_metrics import MetricsSender  # noqa: PLC0415

    exporter = OTLPMetricExporter(f"{endpoint}/v1/metrics", timeout=EXPORT_TIMEOUT_S)
    try:
        async with meanwhile(MetricsSender(meters.registry, exporter).run()):
            yield
    finally:
        exporter.shutdown()


@contextlib.contextmanager
def served(registry: CollectorRegistry, address: str | None) -> Iterator[None]:
    """Serve what is in the registry at an address of its own (host:port), if there is one.

    Raises:
        OSError: it cannot be had.
    """
    if address is None:
        yield
        return
    host, _, port = address.rpartition(":")
    server, thread = start_http_server(int(port), host.strip("[]"), registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
