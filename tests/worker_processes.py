"""The processes behind a server with several workers."""

import time
from collections.abc import Callable

import psutil

from kosmosx_stream.workers.worker import PROGRAM
from tests.server_process import ServerProcess

PATIENCE_S = 60.0


def family(server: ServerProcess) -> list[psutil.Process]:
    """The server's process and all that it has started."""
    host = psutil.Process(server.pid)
    return [host, *host.children(recursive=True)]


def workers(server: ServerProcess) -> list[psutil.Process]:
    """Its workers that live."""
    children = psutil.Process(server.pid).children()
    return [child for child in children if lives(child) and PROGRAM in child.cmdline()]


def lives(process: psutil.Process) -> bool:
    """Whether it has not ended; one whose parent has not asked for its status has."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def clients_of(worker: psutil.Process, server: ServerProcess) -> set[int]:
    """The ports of the clients that are connected to it."""
    return {
        connection.raddr.port
        for connection in worker.net_connections("tcp")
        if connection.status == psutil.CONN_ESTABLISHED and connection.laddr.port == server.port
    }


def until(condition: Callable[[], bool]) -> None:
    """Wait for what other processes do."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)
