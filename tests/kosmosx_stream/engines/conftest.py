"""The engines under test: one of each kind for the whole run, on the bundled checkpoint."""

# ruff: noqa: PLC0415  # importing vLLM takes seconds; collecting the tests should not

import contextlib
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from socket import socketpair
from types import AsyncGeneratorType

import pytest

from kosmosx_stream.engines import vllm_http
from kosmosx_stream.engines.checkpoint import Checkpoint
from kosmosx_stream.engines.deterministic import DeterministicEngine
from kosmosx_stream.engines.engine_host import EngineHost
from kosmosx_stream.engines.hosted_engine import HostedEngine
from kosmosx_stream.engines.port import Generate
from kosmosx_stream.engines.transformers_local import TransformersEngine
from kosmosx_stream.engines.vllm_local import VllmEngine
from kosmosx_stream.engines.vllm_remote import RemoteEngine
from kosmosx_stream.settings import Settings
from tests.kosmosx_stream.engines.conformance import Subject
from tests.vllm_server import VllmServer, remote_settings


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shared engines write."""
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="session")
async def vllm_engine(folder: Path) -> AsyncIterator[VllmEngine]:
    async with VllmEngine.running(Settings(data_dir=folder)) as engine:
        yield engine


@pytest.fixture(scope="session")
async def transformers_engine(folder: Path) -> AsyncIterator[TransformersEngine]:
    async with TransformersEngine.running(Settings(data_dir=folder)) as engine:
        yield engine


@pytest.fixture(scope="session")
def vllm(vllm_engine: VllmEngine) -> Subject:
    return Subject(
        engine=vllm_engine,
        start=VllmEngine.running,
        unending=ignore_the_end_in_vllm,
        unfinished=vllm_engine._llm.get_num_unfinished_requests,
    )


def ignore_the_end_in_vllm(patch: pytest.MonkeyPatch) -> None:
    from kosmosx_stream.engines import vllm_process

    original = vllm_process.sampling_params

    def sampling_params(request: Generate, never: int | None) -> object:
        parameters = original(request, never)
        parameters.ignore_eos = True
        return parameters

    patch.setattr(vllm_process, "sampling_params", sampling_params)


@pytest.fixture(scope="session")
def transformers(transformers_engine: TransformersEngine) -> Subject:
    return Subject(
        engine=transformers_engine,
        start=TransformersEngine.running,
        unending=ignore_the_end,
        unfinished=answers_in_memory,
    )


def ignore_the_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        Checkpoint, "finish_reason", lambda _self, _token, left: None if left else "length"
    )


def answers_in_memory() -> int:
    from kosmosx_stream.engines.transformers_model import Answer

    gc.collect()
    return sum(type(each) is Answer for each in gc.get_objects())


@pytest.fixture(scope="session")
async def deterministic_engine(folder: Path) -> AsyncIterator[DeterministicEngine]:
    settings = Settings(data_dir=folder, deterministic_length=20)
    async with DeterministicEngine.running(settings) as engine:
        yield engine


@pytest.fixture(scope="session")
def deterministic(deterministic_engine: DeterministicEngine) -> Subject:
    return Subject(
        engine=deterministic_engine,
        start=DeterministicEngine.running,
        unending=ignore_the_end,
        unfinished=live_deterministic_answers,
    )


def live_deterministic_answers() -> int:
    gc.collect()
    generators = [each for each in gc.get_objects() if isinstance(each, AsyncGeneratorType)]
    names = [each.__qualname__ for each in generators if each.ag_frame is not None]
    return names.count(DeterministicEngine._answer.__qualname__)


@contextlib.asynccontextmanager
async def running_hosted(settings: Settings) -> AsyncIterator[HostedEngine]:
    """A deterministic engine, used over a link as by another process."""
    host = EngineHost()
    wire, other_end = socketpair()
    async with DeterministicEngine.running(settings) as engine, host.offering(engine):
        await host.attach(wire)
        async with HostedEngine.running(other_end) as hosted:
            yield hosted


@pytest.fixture(scope="session")
async def hosted(folder: Path) -> AsyncIterator[Subject]:
    settings = Settings(data_dir=folder, deterministic_length=20)
    async with running_hosted(settings) as engine:
        yield Subject(
            engine=engine,
            start=running_hosted,
            unending=ignore_the_end,
            unfinished=live_deterministic_answers,
            hears_within_s=10,
        )


@pytest.fixture(scope="session")
def vllm_server(folder: Path) -> Iterator[VllmServer]:
    server = VllmServer(folder)
    try:
        server.wait_until_well()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
async def remote_engine(vllm_server: VllmServer) -> AsyncIterator[RemoteEngine]:
    async with RemoteEngine.running(remote_settings(vllm_server)) as engine:
        yield engine


@pytest.fixture(scope="session")
def remote(remote_engine: RemoteEngine, vllm_server: VllmServer) -> Subject:
    def start(settings: Settings) -> AbstractAsyncContextManager[RemoteEngine]:
        window = settings.max_model_len
        return RemoteEngine.running(remote_settings(vllm_server, max_model_len=window))

    return Subject(
        engine=remote_engine,
        start=start,
        unending=ignore_the_end_in_remote,
        unfinished=vllm_server.unfinished,
        hears_within_s=10,
    )


def ignore_the_end_in_remote(patch: pytest.MonkeyPatch) -> None:
    original = vllm_http.sampling_params
    patch.setattr(vllm_http, "sampling_params", lambda said: original(said) | {"ignore_eos": True})


# The remote one needs another vLLM server, and that another half minute.
REMOTE = pytest.param("remote", marks=pytest.mark.slow)


@pytest.fixture(scope="session", params=["vllm", REMOTE, "transformers", "deterministic", "hosted"])
def subject(request: pytest.FixtureRequest) -> Subject:
    """Each engine in turn."""
    found: Subject = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def unending(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers do not end by themselves."""
    subject.unending(monkeypatch)
