"""A Prometheus that scrapes servers of a test, and is asked as Grafana asks."""

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests import debian
from tests.dashboards.expressions import ROOT
from tests.server_process import ServerProcess, free_port

PATIENCE_S = 60


def run_promtool(*arguments: str | Path) -> None:
    """Check rules, or test them."""
    promtool = debian.program("promtool", "prometheus")
    done = subprocess.run(
        [promtool, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


class Prometheus:
    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """The samples that an expression has now."""
        answer = self._http.get("/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", f"{expression}: {answer}"
        return list(answer["data"]["result"])

    def wait_for(self, expression: str) -> None:
        """Until it has a sample."""
        deadline = time.monotonic() + PATIENCE_S
        while not self._has(expression):
            assert time.monotonic() < deadline, f"nothing came of {expression}"
            time.sleep(0.2)

    def _has(self, expression: str) -> bool:
        try:
            return bool(self.ask(expression))
        except (httpx.TransportError, json.JSONDecodeError):
            return False  # It starts.


@contextlib.contextmanager
def scraping(folder: Path, *servers: ServerProcess) -> Iterator[Prometheus]:
    """With the rules of the repository, each second."""
    prometheus = debian.program("prometheus", "prometheus")
    port = free_port()
    targets = [f"127.0.0.1:{server.port}" for server in servers]
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ROOT / "dashboards/alerts*.yaml")],
        "scrape_configs": [{"job_name": "kosmosx", "static_configs": [{"targets": targets}]}],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    with (folder / "prometheus.out").open("wb") as out:
        process = subprocess.Popen(
            [
                prometheus, "--config.file=prometheus.yaml", "--storage.tsdb.path=metrics",
                f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage",
            ],
            cwd=folder, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            yield Prometheus(http)
    finally:
        process.terminate()
        process.wait(30)
