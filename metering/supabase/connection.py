"""HTTP connections to a Supabase project, under its secret key."""

import ssl
from functools import cache

import httpx

from metering.errors import StoreUnavailable

_UNAUTHORIZED = frozenset({401, 403})
KEPT_OPEN_S = 30.0


def connect(
    url: str, service_key: str, *, timeout_s: float, max_connections: int
) -> httpx.AsyncClient:
    """A pool of connections; a call waits for an answer, or for a free one, `timeout_s`."""
    return httpx.AsyncClient(
        base_url=url.rstrip("/"),
        headers={"apikey": service_key, "Authorization": f"Bearer {service_key}"},
        timeout=httpx.Timeout(timeout_s),
        limits=httpx.Limits(max_connections=max_connections, keepalive_expiry=KEPT_OPEN_S),
        verify=_certificates(),
        event_hooks={"response": [_check_key]},
    )


@cache
def _certificates() -> ssl.SSLContext:
    """Read once: it takes 30 ms."""
    return httpx.create_ssl_context()


async def _check_key(response: httpx.Response) -> None:
    """Here, because a refusal by the gateway before PostgREST tells no code that could be read."""
    if response.status_code in _UNAUTHORIZED:
        await response.aread()
        raise StoreUnavailable(f"the service key is refused: {response.text[:200]}")
