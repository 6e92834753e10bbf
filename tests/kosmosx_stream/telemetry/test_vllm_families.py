import httpx
from prometheus_client import Counter, Gauge, generate_latest

from kosmosx_stream.telemetry.meters import Meters
from tests.kosmosx_stream.clients import MODEL, client
from tests.server_process import ServerProcess


def test_vllm_s_metrics_are_beside_the_server_s(server: ServerProcess) -> None:
    client(server).responses.create(model=MODEL, input="Hello!", max_output_tokens=16)
    text = httpx.get(f"{server.base_url}/metrics").text
    for name in ("num_requests_running", "kv_cache_usage_perc", "prefix_cache_queries_total"):
        assert f"\nvllm:{name}{{" in text
    assert "\nkosmosx_turns_total{" in text


def test_what_others_keep_is_theirs() -> None:
    Gauge("vllm:tests_of_kosmosx", "of vLLM").set(3)
    Counter("another_library", "of somebody else").inc()
    text = generate_latest(Meters(models=["m"], version="0").registry).decode()
    assert "vllm:tests_of_kosmosx 3.0" in text
    assert "another_library" not in text
