"""A server whose process is forked from one that has imported everything: it starts at once.

It is killed, stopped and started like any other; only its imports are not done anew each time.
"""

import multiprocessing
import os
import signal
import subprocess
from collections.abc import Mapping
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

from tests.chaos import saboteur
from tests.server_process import ServerProcess

PRELOADED = ["kosmosx_stream.app", "kosmosx_stream.server", "tests.chaos.saboteur"]


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


class ForkedProcess:
    """What `ServerProcess` needs of a process."""

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process
        assert process.pid is not None
        self.pid = process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, how: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, how)

    def wait(self, timeout_s: float) -> int:
        self._process.join(timeout_s)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired("server", timeout_s)
        return status


class ForkedServer(ServerProcess):
    """A `ServerProcess` with the saboteur inside."""

    def _launch(
        self, arguments: list[str], output: Path, environment: Mapping[str, str]
    ) -> ForkedProcess:
        process = _context().Process(
            target=saboteur.serve, args=(arguments, output, dict(environment))
        )
        process.start()
        return ForkedProcess(process)
