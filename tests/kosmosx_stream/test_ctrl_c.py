"""Ctrl-C: once it waits for what is live, twice it leaves that to the next start."""

import os
import signal
import time
from pathlib import Path

import httpx
import pytest

from tests.kosmosx_stream.clients import MODEL, client
from tests.server_process import ServerProcess
from tests.worker_processes import until


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_twice_ends_at_once_and_in_good_order(tmp_path: Path, workers: str) -> None:
    server = ServerProcess(
        tmp_path / "data",
        KOSMOSX_ENGINE="deterministic",
        KOSMOSX_DETERMINISTIC_RATE="20",
        KOSMOSX_DETERMINISTIC_LENGTH="1000000",
        KOSMOSX_DRAIN_TIMEOUT_S="120",
        KOSMOSX_WORKERS=workers,
    )
    server.start()
    asked = client(server).responses.create(model=MODEL, input="Go on.", background=True)
    pressed_at = time.monotonic()
    os.kill(server.pid, signal.SIGINT)
    until(lambda: "stopping: what is live has 120 s" in server.output())
    assert not server.wait(1)
    os.kill(server.pid, signal.SIGINT)
    assert server.wait(60)
    assert time.monotonic() - pressed_at < 60
    assert server.stop() == 0
    assert "Traceback" not in server.output()

    server.start()
    try:
        url = f"{server.base_url}/v1/responses/{asked.id}"
        headers = {"Authorization": f"Bearer {server.key}"}
        assert httpx.get(url, headers=headers).json()["status"] == "in_progress"
    finally:
        server.kill()
