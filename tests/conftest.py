"""Fixtures for tests against the real server: one process, one engine, shared by the run."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import hypothesis
import pytest

from kosmosx_stream.embedded_valkey import embedded_valkey
from tests.otlp_collector import Collector, collector
from tests.pair import Pair
from tests.server_process import ServerProcess, started, stopped
from tests.stripe_standin.server import StandinServer
from tests.supabase.postgres import postgres
from tests.supabase.project import SupabaseProject

# How long a machine takes says nothing about the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The server on its embedded defaults: Valkey, SQLite, and the nano checkpoint on vLLM."""
    yield from started(tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="session")
def otlp() -> Iterator[Collector]:
    """A collector. Servers that send to it keep the traces that their clients want kept."""
    with collector() as running:
        yield running


def sending_to(otlp: Collector) -> dict[str, str]:
    """The settings of a server that sends its telemetry there, soon."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        "KOSMOSX_TRACE_RATIO": "0",
    }


@pytest.fixture(scope="session")
def wordy_server(
    tmp_path_factory: pytest.TempPathFactory, otlp: Collector
) -> Iterator[ServerProcess]:
    """As `server`, without a model: reproducible words at once, for what they do not matter to."""
    folder = tmp_path_factory.mktemp("wordy")
    yield from started(folder, KOSMOSX_ENGINE="deterministic", **sending_to(otlp))


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
        KOSMOSX_REGISTRATION="closed",
    )


def mortal(folder: Path, **environment: str) -> Iterator[ServerProcess]:
    """A process that takes up soon what was lost."""
    yield from stopped(
        folder,
        KOSMOSX_LEASE_TTL_S="2",
        KOSMOSX_SWEEP_INTERVAL_S="0.2",
        KOSMOSX_SESSION_IDLE_S="3",
        **environment,
    )


@pytest.fixture(scope="session")
def stripe_server() -> Iterator[StandinServer]:
    """A port for stand-ins for Stripe."""
    with StandinServer.running() as running:
        yield running


@pytest.fixture(scope="session")
def other_key(server: ServerProcess) -> str:
    """The key of another account."""
    return server.create_key()


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory, otlp: Collector) -> Iterator[Pair]:
    """Two servers over one Valkey and one set of books; they say 20 tokens a second."""
    pair = Pair(
        tmp_path_factory.mktemp("pair"),
        KOSMOSX_LEASE_TTL_S="2",
        KOSMOSX_SWEEP_INTERVAL_S="0.2",
        KOSMOSX_DETERMINISTIC_RATE="20",
        **sending_to(otlp),
    )
    pair.start()
    yield pair
    pair.stop()


class Twins(NamedTuple):
    """Two servers over one Redis and one store; an answer of theirs ends where it is cut."""

    first: ServerProcess
    second: ServerProcess


@pytest.fixture(scope="session")
def twins_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that the twins write, their Redis included."""
    return tmp_path_factory.mktemp("twins")


@pytest.fixture(scope="session")
async def twins_redis(twins_folder: Path) -> AsyncIterator[str]:
    async with embedded_valkey(twins_folder) as url:
        yield url


@pytest.fixture(scope="session")
def twin_processes(twins_redis: str, twins_folder: Path) -> Iterator[Twins]:
    twins = Twins(
        *(
            ServerProcess(
                twins_folder / name,
                REDIS_URL=twins_redis,
                KOSMOSX_ENGINE="deterministic",
                KOSMOSX_DETERMINISTIC_RATE="50",
                KOSMOSX_DETERMINISTIC_LENGTH="1000000",
                KOSMOSX_LEASE_TTL_S="2",
                KOSMOSX_SWEEP_INTERVAL_S="0.2",
                KOSMOSX_DRAIN_TIMEOUT_S="0.3",
            )
            for name in ("first", "second")
        )
    )
    for each in twins:
        each.data_dir.mkdir()
    twins.first.start()
    for shared in ("kosmosx.db", "pepper", "first_key"):
        (twins.second.data_dir / shared).symlink_to(twins.first.data_dir / shared)
    yield twins
    for each in twins:
        each.stop()


@pytest.fixture
def twins(twin_processes: Twins) -> Twins:
    """As `Twins` says; both are running when a test gets them."""
    for each in twin_processes:
        each.ensure_running()
    return twin_processes


@pytest.fixture(scope="session")
def supabase(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SupabaseProject]:
    """A Supabase project on PGlite with this program's tables."""
    yield from running(SupabaseProject(tmp_path_factory.mktemp("supabase")))


@pytest.fixture(scope="session")
def supabase_on_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SupabaseProject]:
    """As `supabase`, on a PostgreSQL of its own, whose connections run side by side."""
    with postgres() as url:
        folder = tmp_path_factory.mktemp("supabase_on_postgres")
        yield from running(SupabaseProject(folder, driver="postgres", database=url))


def running(project: SupabaseProject) -> Iterator[SupabaseProject]:
    project.migrate()
    project.start()
    yield project
    project.close()
