"""`GET /metrics`, for Prometheus, without a key.

Not for the world: whatever came through a proxy, as an Ingress is, does not find it. Who listens on
a public address without one sets `KOSMOSX_METRICS_ADDRESS`, or `KOSMOSX_METRICS=false`.
"""

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from kosmosx_stream.services import Services
from kosmosx_stream.telemetry.exposition import expose

FORWARDED = ("forwarded", "x-forwarded-for", "via")
"""What proxies add."""


async def show(request: Request) -> Response:
    """As OpenMetrics, with exemplars, or as Prometheus's older text."""
    services: Services = request.app.state.services
    settings = services.settings
    elsewhere = not settings.metrics or settings.metrics_address is not None
    if elsewhere or any(name in request.headers for name in FORWARDED):
        raise HTTPException(404)
    registry = services.telemetry.meters.registry
    accept = request.headers.get("accept", "")
    body, media_type = await asyncio.to_thread(expose, registry, accept)
    return Response(body, media_type=media_type)
