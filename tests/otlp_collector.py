"""A collector that keeps what is sent to it: OTLP over HTTP, as protobuf."""

import contextlib
import gzip
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TIMEOUT_S = 30.0


class Span:
    """A span as it arrived, its ids in hex."""

    def __init__(self, sent: Any, resource: dict[str, Any]) -> None:
        self.name: str = sent.name
        self.trace_id: str = sent.trace_id.hex()
        self.id: str = sent.span_id.hex()
        self.parent_id: str = sent.parent_span_id.hex()
        self.links = [(link.trace_id.hex(), link.span_id.hex()) for link in sent.links]
        self.events = [event.name for event in sent.events]
        self.attributes = _attributes(sent.attributes)
        self.failed = sent.status.code == sent.status.STATUS_CODE_ERROR
        self.resource = resource


class Collector:
    """What has arrived so far."""

    def __init__(self) -> None:
        self.url = ""
        self.spans: list[Span] = []
        self.metrics: dict[str, Any] = {}
        """The last of each name."""
        self.bodies: list[bytes] = []
        self._news = threading.Condition()

    def take(self, path: str, body: bytes) -> None:
        with self._news:
            self.bodies.append(body)
            if path == "/v1/traces":
                for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
                    resource = _attributes(sent.resource.attributes)
                    self.spans += [
                        Span(span, resource) for scope in sent.scope_spans for span in scope.spans
                    ]
            elif path == "/v1/metrics":
                for found in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                    for scope in found.scope_metrics:
                        self.metrics |= {metric.name: metric for metric in scope.metrics}
            self._news.notify_all()

    def wait_for(self, arrived: Callable[[list[Span]], bool]) -> list[Span]:
        """All spans, once that is true of them."""
        with self._news:
            assert self._news.wait_for(lambda: arrived(self.spans), TIMEOUT_S), [
                span.name for span in self.spans
            ]
            return list(self.spans)


@contextlib.contextmanager
def collector() -> Iterator[Collector]:
    """One that listens until this is left."""
    kept = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            kept.take(self.path, body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    found = getattr(value, kind)
    return [_value(each) for each in found.values] if kind == "array_value" else found
