"""Around every request: how long it took, how it was answered, and the trace that it is part of."""

import time
from collections.abc import Awaitable

from opentelemetry.trace import Span, SpanKind
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kosmosx_stream.telemetry import names
from kosmosx_stream.telemetry.telemetry import Telemetry
from kosmosx_stream.telemetry.tracing import exemplar, fail, parent_of

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "_OTHER"
"""OpenTelemetry's: clients may call methods what they like."""
OTHER_ROUTE = "other"
SERVER_ERROR = 500


class Observed:
    """ASGI middleware; the outermost."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app = app
        self._meters = telemetry.meters
        self._traces = telemetry.traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        open_now = self._meters.connections[scope["type"]]
        open_now.inc(1)
        try:
            if scope["type"] == "http":
                await self._request(scope, receive, send)
            else:
                await self._app(scope, receive, send)
        finally:
            open_now.inc(-1)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status = time.perf_counter(), 0
        method = scope["method"] if scope["method"] in METHODS else OTHER_METHOD

        def observe(message: Message) -> Awaitable[None]:
            # Not a coroutine of its own: tokens come by here.
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            return send(message)

        if not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, observe)
            self._measure(scope, method, status, time.perf_counter() - began)
            return
        parent = parent_of(Headers(scope=scope))
        with self._traces.span(method, parent=parent, kind=SpanKind.SERVER) as span:
            try:
                await self._app(scope, receive, observe)
            finally:
                _describe(span, method, _route(scope), status)
                self._measure(scope, method, status, time.perf_counter() - began, span)

    def _measure(
        self, scope: Scope, method: str, status: int, took_s: float, span: Span | None = None
    ) -> None:
        series = self._meters.http_duration(method, _route(scope), str(status))
        series.observe_traced(took_s, None if span is None else exemplar(span))


def _route(scope: Scope) -> str:
    """The path with its placeholders: the ids in it are without number."""
    route = scope.get("route")
    found: str = getattr(route, "path", "")
    return found if found not in ("", "/v1") else OTHER_ROUTE


def _describe(span: Span, method: str, route: str, status: int) -> None:
    if not span.is_recording():
        return
    span.update_name(names.SPAN_HTTP.format(method=method, route=route))
    span.set_attributes(
        {names.METHOD.name: method, names.ROUTE.name: route, names.STATUS.name: status}
    )
    if status >= SERVER_ERROR:
        fail(span, str(status))
