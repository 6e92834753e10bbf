"""A real vLLM server in a process group of its own, as an operator starts it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from kosmosx_stream.settings import NANO_CHECKPOINT, Settings
from tests.server_process import free_port, wait_until_ok

API_KEY = "secret-of-the-engine"
START_TIMEOUT_S = 400
OPTIONS = [
    "--enable-scale-out", "--enable-prompt-tokens-details", "--seed", "0",
    "--structured-outputs-config.backend", "guidance",
    "--block-size", "32", "--kv-cache-memory-bytes", str(64 * 2**20), "--enforce-eager",
    "--mm-processor-cache-gb", "0.25", "--disable-uvicorn-access-log",
]  # fmt: skip
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "OMP_NUM_THREADS": "1",
}


class VllmServer:
    """vLLM's own server on the nano checkpoint; our plugin is found by its entry point."""

    def __init__(self, folder: Path, command: Callable[[int], list[str]] | None = None) -> None:
        """`command` takes the port; without one it serves nano, as the README says."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / f"vllm-{self.port}.out"
        words = (command or serving(NANO_CHECKPOINT))(self.port)
        with self._log.open("wb") as out:
            self._process = subprocess.Popen(
                words, stdout=out, stderr=out, start_new_session=True,
                env=os.environ | ENVIRONMENT, cwd=folder,
            )  # fmt: skip

    def wait_until_well(self) -> None:
        wait_until_ok(
            f"{self.url}/health",
            lambda: self._process.poll() is None,
            lambda: self._log.read_text()[-4000:],
            START_TIMEOUT_S,
        )

    def unfinished(self) -> int:
        """Requests that it is working on."""
        metrics = httpx.get(f"{self.url}/metrics", timeout=10).text
        gauges = re.findall(
            r"^vllm:num_requests_(?:running|waiting)\{.*\} (\S+)", metrics, re.MULTILINE
        )
        assert len(gauges) == 2
        return int(sum(map(float, gauges)))

    def signal(self, number: signal.Signals) -> None:
        """To all of its processes."""
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        if self._process.poll() is None:
            self.signal(signal.SIGKILL)
            self._process.wait(60)


def serving(model: Path) -> Callable[[int], list[str]]:
    """The command for a model, by its port."""
    # `vllm serve` is this module; the script of vLLM's CPU build does not start.
    return lambda port: [
        sys.executable, "-m", "vllm.entrypoints.launchers.api_server.entry",
        "--model", str(model), "--host", "127.0.0.1", "--port", str(port),
        "--api-key", API_KEY, *OPTIONS,
    ]  # fmt: skip


def remote_settings(*servers: VllmServer, **others: Any) -> Settings:
    """Those of an engine that uses these servers."""
    urls = ",".join(server.url for server in servers)
    return Settings(engine="remote", engine_urls=urls, engine_api_key=API_KEY, **others)
