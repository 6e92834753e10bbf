"""`kosmosx health`, as a container's health check runs it."""

import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from kosmosx_stream.commands.health_probe import NotReady, check_ready, local_host
from tests.server_process import KOSMOSX, ServerProcess, free_port


class Loading(BaseHTTPRequestHandler):
    """What a server answers before its model is there."""

    def do_GET(self) -> None:
        self.send_response(503)
        self.end_headers()
        self.wfile.write(b'{"status": "loading"}')

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def loading_port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Loading) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def health(port: int) -> subprocess.CompletedProcess[str]:
    # As in an image, where the server listens on every address.
    command = [KOSMOSX, "health", "--host", "0.0.0.0", "--port", str(port)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_ready_server_is_well(wordy_server: ServerProcess) -> None:
    assert health(wordy_server.port).returncode == 0


def test_no_server_is_not_well() -> None:
    port = free_port()
    result = health(port)
    assert result.returncode == 1
    assert f"127.0.0.1:{port} does not answer" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_loading_server_is_not_ready(loading_port: int) -> None:
    with pytest.raises(NotReady, match=r"answers 503: .*loading"):
        check_ready("127.0.0.1", loading_port, timeout_s=5)


@pytest.mark.parametrize(
    ("listens_on", "asked_at"),
    [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("127.0.0.2", "127.0.0.2")],
)
def test_is_asked_where_this_machine_reaches_it(listens_on: str, asked_at: str) -> None:
    assert local_host(listens_on) == asked_at
