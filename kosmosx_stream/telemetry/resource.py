"""Who it is that sends: the same for metrics and traces."""

import os
import socket
from functools import cache, cached_property
from importlib.metadata import version

from opentelemetry.sdk.resources import Resource


class _Hashed(Resource):
    """Hashed once: the exporter asks at every span, and the SDK writes the attributes as JSON."""

    @cached_property
    def _hash(self) -> int:
        return super().__hash__()

    def __hash__(self) -> int:
        return self._hash


@cache  # To ask the environment is to look through all packages.
def resource() -> Resource:
    """`OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` overrule what is known here."""
    known = {
        "service.name": os.environ.get("OTEL_SERVICE_NAME", "kosmosx"),
        "service.version": version("kosmosx-stream"),
        "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
    }
    environment = Resource.create().attributes
    named = {name: value for name, value in environment.items() if name != "service.name"}
    return _Hashed({**known, **named})
