"""vLLM's own metrics, beside the server's, where vLLM runs in this process.

It keeps them in prometheus_client's common registry, among what others may keep there.
"""

from collections.abc import Iterator

from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

PREFIX = "vllm:"


class VllmFamilies(Collector):
    """None without vLLM."""

    def collect(self) -> Iterator[Metric]:
        return (family for family in REGISTRY.collect() if family.name.startswith(PREFIX))
