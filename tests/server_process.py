"""A real server in a process of its own, as an operator starts it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Protocol

import httpx

KOSMOSX = Path(sys.executable).with_name("kosmosx")
START_TIMEOUT_S = 300


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ok(
    url: str, runs: Callable[[], bool], output: Callable[[], str], timeout_s: float
) -> None:
    """Ask until the answer is 200, for as long as what is to answer runs.

    Raises:
        RuntimeError: it was not; the message has the output.
    """
    deadline = time.monotonic() + timeout_s
    while runs() and time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=5).status_code == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"{url} did not answer: {output()}")


class Process(Protocol):
    """As `subprocess.Popen`."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float, /) -> int: ...
    def send_signal(self, sig: signal.Signals, /) -> None: ...


class ServerProcess:
    """`kosmosx serve` on a data folder; can be stopped, killed and started again."""

    ports: ClassVar[set[int]] = set()
    """Of all servers that were made."""

    def __init__(
        self, data_dir: Path, *, command: Sequence[str | Path] = (KOSMOSX,), **environment: str
    ) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.ports.add(self.port)
        self.base_url = f"http://127.0.0.1:{self.port}"
        self._output = data_dir.parent / f"{data_dir.name}.out"
        self._environment = os.environ | environment
        self._command = command
        self._process: Process | None = None

    @property
    def key(self) -> str:
        """The first account's key."""
        return (self.data_dir / "first_key").read_text().strip()

    @property
    def database(self) -> Path:
        return self.data_dir / "kosmosx.db"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def create_key(self, *options: str) -> str:
        """A further key; without options it gets an account of its own."""
        command = [KOSMOSX, "keys", "create", "--data-dir", self.data_dir, "--json", *options]
        created = subprocess.run(
            command, env=self._environment, check=True, capture_output=True, text=True
        )
        return str(json.loads(created.stdout)["key"])

    def start(self, **environment: str) -> None:
        """Start it, and wait until it is ready; `environment` is for this one life."""
        arguments = [
            "serve", "--host", "127.0.0.1", "--port", str(self.port),
            "--data-dir", str(self.data_dir),
        ]  # fmt: skip
        self._process = self._launch(arguments, self._output, self._environment | environment)
        try:
            self.wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def _launch(
        self, arguments: list[str], output: Path, environment: Mapping[str, str]
    ) -> Process:
        with output.open("ab") as out:
            return subprocess.Popen(
                [*self._command, *arguments], stdout=out, stderr=out, env=environment
            )

    def ensure_running(self) -> None:
        """Start it unless it runs."""
        if not self._runs():
            self.start()

    def wait_until_ready(self) -> None:
        url = f"{self.base_url}/health/ready"
        wait_until_ok(url, self._runs, self.output, START_TIMEOUT_S)

    def _runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def output(self) -> str:
        return self._output.read_text()[-4000:]

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        return self._end(signal.SIGTERM)

    def stop_while(self, work: Callable[[], object]) -> int:
        """SIGTERM, then do the work while the server drains; returns the exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        work()
        return self._end(signal.SIGTERM)

    def wait(self, timeout_s: float) -> bool:
        """Whether it ends by itself within so long."""
        assert self._process is not None
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> int:
        return self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> int:
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(how)
        status = self._process.wait(60)
        self._process = None
        return status


def stopped(folder: Path, **environment: str) -> Iterator[ServerProcess]:
    """For a fixture: a server with its data in this folder, not started yet; stopped in the end."""
    process = ServerProcess(folder / "data", **environment)
    process.data_dir.mkdir()
    yield process
    process.stop()


def started(folder: Path, **environment: str) -> Iterator[ServerProcess]:
    """The same, started."""
    for process in stopped(folder, **environment):
        process.start()
        yield process
