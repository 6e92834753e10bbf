"""What Prometheus reads: the meters as OpenMetrics, with exemplars, or as its older text."""

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder


def expose(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """The body and its media type, by what the reader accepts."""
    encode, media_type = choose_encoder(accept)
    return encode(registry), media_type
