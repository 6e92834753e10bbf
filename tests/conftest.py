"""Fixtures for tests against the real server: one process, one engine, shared by the run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pair import Pair
from tests.server_process import ServerProcess


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The server on its embedded defaults: Valkey, SQLite, and the nano checkpoint on vLLM."""
    process = ServerProcess(tmp_path_factory.mktemp("server") / "data")
    process.data_dir.mkdir()
    process.start()
    yield process
    process.stop()


@pytest.fixture(scope="session")
def wordy_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """As `server`, without a model: reproducible words at once, for what they do not matter to."""
    folder = tmp_path_factory.mktemp("wordy") / "data"
    process = ServerProcess(folder, KOSMOSX_ENGINE="deterministic")
    folder.mkdir()
    process.start()
    yield process
    process.stop()


@pytest.fixture
def mortal_server(mortal_process: ServerProcess) -> ServerProcess:
    """A server that tests may stop, kill and start again; it is running when a test gets it."""
    mortal_process.ensure_running()
    return mortal_process


@pytest.fixture
def slow_server(slow_process: ServerProcess) -> ServerProcess:
    """As `mortal_server`, without a model: it says 20 reproducible tokens a second."""
    slow_process.ensure_running()
    return slow_process


@pytest.fixture(scope="session")
def mortal_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The process behind `mortal_server`."""
    yield from mortal(tmp_path_factory.mktemp("mortal"))


@pytest.fixture(scope="session")
def slow_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The process behind `slow_server`."""
    yield from mortal(
        tmp_path_factory.mktemp("slow"),
        KOSMOSX_ENGINE="deterministic",
        KOSMOSX_DETERMINISTIC_RATE="20",
    )


def mortal(folder: Path, **environment: str) -> Iterator[ServerProcess]:
    """A process that takes up soon what was lost."""
    process = ServerProcess(
        folder / "data",
        KOSMOSX_LEASE_TTL_S="2",
        KOSMOSX_SWEEP_INTERVAL_S="0.2",
        KOSMOSX_SESSION_IDLE_S="3",
        **environment,
    )
    process.data_dir.mkdir()
    yield process
    process.stop()


@pytest.fixture(scope="session")
def other_key(server: ServerProcess) -> str:
    """The key of another account."""
    return server.create_key()


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two servers over one Valkey and one set of books; they say 20 tokens a second."""
    pair = Pair(
        tmp_path_factory.mktemp("pair"),
        KOSMOSX_LEASE_TTL_S="2",
        KOSMOSX_SWEEP_INTERVAL_S="0.2",
        KOSMOSX_DETERMINISTIC_RATE="20",
    )
    pair.start()
    yield pair
    pair.stop()
