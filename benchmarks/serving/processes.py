"""Processes of a benchmark: start them, end them, and read what they used from the kernel."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx
import msgspec
import psutil

from benchmarks.serving.load import Load, Measured

START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 20.0
STORE = "valkey-server"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_s(pid: int) -> float:
    """CPU time of all threads of a process so far, in seconds.

    clock_getcpuclockid(3) names a process's clock so; /proc counts in steps of 10 ms only.
    """
    return time.clock_gettime((~pid << 3) | 2)


class Server:
    """A server under test, in processes of its own."""

    def __init__(self, pid: int, port: int, *, key: str) -> None:
        self.port = port
        self.key = key
        self.pid = pid

    def serving(self) -> dict[str, int]:
        """The processes that serve: the one that was started, and the store. No engine."""
        children = psutil.Process(self.pid).children(recursive=True)
        stores = [child.pid for child in children if child.name() == STORE]
        return {"server": self.pid, **dict(zip([STORE], stores, strict=False))}

    def rss_bytes(self) -> int:
        return int(psutil.Process(self.pid).memory_info().rss)


@contextlib.contextmanager
def started(
    command: Sequence[str | Path],
    port: int,
    *,
    ready: str,
    log: Path,
    environment: Mapping[str, str] | None = None,
    key: str = "",
) -> Iterator[Server]:
    """Run a server until this is left. `ready`: the path that answers 200 when it is."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            list(map(str, command)),
            stdout=out,
            stderr=out,
            env=os.environ | (environment or {}),
            start_new_session=True,
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}{ready}", log)
        yield Server(process.pid, port, key=key)
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"it ended: {log.read_text()[-3000:]}")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=5).is_success:
                return
        time.sleep(0.2)
    raise RuntimeError(f"it was not ready in time: {log.read_text()[-3000:]}")


@contextlib.contextmanager
def ours(
    folder: Path,
    *,
    model: Path | None = None,
    engine: str = "deterministic",
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """`kosmosx serve`, everything on: memory, log on disk at every commit, books, budget checks."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "KOSMOSX_ENGINE": engine,
        "KOSMOSX_DETERMINISTIC_LENGTH": str(10**9),  # Answers end at their length only.
        "KOSMOSX_MAX_CONNECTIONS_PER_ADDRESS": "0",
        "KOSMOSX_MAX_CONNECTIONS_PER_KEY": "0",
        "KOSMOSX_MAX_REQUESTS_PER_KEY": "0",
        "KOSMOSX_FIRST_MESSAGE_TIMEOUT_S": "600",
        **(environment or {}),
    }
    if model is not None:
        settings["KOSMOSX_MODEL"] = str(model)
    command = [
        sys.executable, "-c", "from kosmosx_stream.cli import app; app()",
        "serve", "--port", port, "--data-dir", folder / "data",
    ]  # fmt: skip
    log = folder / "kosmosx.out"
    with started(
        list(map(str, command)), port, ready="/health/ready", log=log, environment=settings
    ) as server:
        server.key = (folder / "data" / "first_key").read_text().strip()
        yield server


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One load on one contender: what its clients saw, and the CPU time of what served."""

    seen: Measured
    cpu_s: dict[str, float]

    @property
    def cpu_us_a_token(self) -> float:
        return 1e6 * sum(self.cpu_s.values()) / self.seen.tokens

    def figures(self) -> dict[str, float]:
        """What the tables show."""
        seen = self.seen
        shares = {
            f"cpu_us_a_token_{name}": 1e6 * used / seen.tokens for name, used in self.cpu_s.items()
        }
        return {
            "tokens_per_s": seen.tokens / seen.seconds,
            "cpu_us_a_token": self.cpu_us_a_token,
            **shares,
            "first_ms_p50": seen.first_ms_p50,
            "first_ms_p99": seen.first_ms_p99,
            "gap_ms_p50": seen.gap_ms_p50,
            "gap_ms_p99": seen.gap_ms_p99,
            "wire_bytes_a_token": seen.wire_bytes / seen.tokens,
            "tokens_a_piece": seen.tokens / max(1, seen.pieces),
        }


def put(load: Load, server: Server) -> Run:
    """Put the load on the server from a process of its own."""
    processes = server.serving()
    before = {name: cpu_s(pid) for name, pid in processes.items()}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving.load"],
        input=msgspec.json.encode(load),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{load.path} x {load.streams}: {done.stderr.decode()[-2000:]}")
    used = {name: cpu_s(pid) - before[name] for name, pid in processes.items()}
    return Run(seen=msgspec.json.decode(done.stdout, type=Measured), cpu_s=used)
