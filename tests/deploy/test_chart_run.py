"""What the chart runs, run here: its engine's command line, and a gateway with its settings."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.deploy.chart import NAME, RENDERED, environment, named
from tests.server_process import ServerProcess
from tests.vllm_server import API_KEY, VllmServer

pytestmark = pytest.mark.slow

TRIAL = RENDERED["trial"]


def engine_command(port: int) -> list[str]:
    """As in the pod, with this environment's Python on the PATH, and a free port."""
    engines = named(TRIAL, "StatefulSet", f"{NAME}-engine")
    (container,) = engines["spec"]["template"]["spec"]["containers"]
    given = {each["name"]: each.get("value", API_KEY) for each in container["env"]}
    given["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    assert given["VLLM_API_KEY"] == API_KEY
    (script,) = container["args"]
    return [
        "env", *(f"{name}={value}" for name, value in given.items()),
        *container["command"], script.replace("--port 8000", f"--port {port}"),
    ]  # fmt: skip


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[VllmServer]:
    server = VllmServer(tmp_path, engine_command)
    try:
        server.wait_until_well()
        yield server
    finally:
        server.kill()


def test_a_gateway_answers_by_the_engine(engine: VllmServer, tmp_path: Path) -> None:
    settings = environment(TRIAL) | {
        "KOSMOSX_ENGINE_URLS": engine.url,
        "KOSMOSX_ENGINE_API_KEY": API_KEY,
    }
    # These come from the secret, or lead into the cluster.
    for elsewhere in ("REDIS_URL", "VALKEY_PASSWORD"):
        del settings[elsewhere]
    (tmp_path / "data").mkdir()
    server = ServerProcess(
        tmp_path / "data", **{name: value for name, value in settings.items() if value is not None}
    )
    server.start()
    try:
        answer = httpx.post(
            f"{server.base_url}/v1/responses",
            headers={"Authorization": f"Bearer {server.key}"},
            json={"model": settings["KOSMOSX_MODEL_NAME"], "input": "Hello!"},
            timeout=60,
        )
    finally:
        assert server.stop() == 0
    assert answer.json()["usage"]["output_tokens"] > 0
    assert answer.json()["output"][0]["content"][0]["text"]
