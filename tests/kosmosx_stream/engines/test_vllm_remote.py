"""What the remote adapter does beyond the port, on a real vLLM server: caches, joining, losing."""

import asyncio
import contextlib
import json
import logging
import shutil
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest

from kosmosx_stream.engines import vllm_http
from kosmosx_stream.engines.port import Delta, EngineDead
from kosmosx_stream.engines.remote_server import RemoteServer
from kosmosx_stream.engines.vllm_remote import RemoteEngine
from kosmosx_stream.settings import NANO_CHECKPOINT, Settings
from tests.kosmosx_stream.clients import MODEL, message, picture_url, text_of
from tests.kosmosx_stream.engines.conformance import (
    NOISE,
    Subject,
    answer,
    ask,
    ids_of,
    picture,
    streamed,
)
from tests.server_process import ServerProcess, free_port
from tests.vllm_server import API_KEY, VllmServer, remote_settings

pytestmark = pytest.mark.slow  # It starts vLLM servers.


@pytest.fixture
def engine(remote_engine: RemoteEngine) -> RemoteEngine:
    return remote_engine


@pytest.fixture
def unending(remote: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers do not end by themselves."""
    remote.unending(monkeypatch)


async def test_the_second_turn_comes_from_the_prefix_cache(engine: RemoteEngine) -> None:
    image = picture(10)
    first = await answer(engine, ask(40, image, 5, salt="prefix"))
    second = await answer(engine, ask(40, image, 5, 30, salt="prefix"))
    # 1 + 40 + 2 + 36 + 5 = 84 common tokens, in blocks of 32.
    assert first[-1].cached_tokens == 0
    assert second[-1].cached_tokens == 64


async def test_tenants_do_not_share_the_cache(engine: RemoteEngine) -> None:
    image = picture(11)
    first = await answer(engine, ask(40, image, 5, salt="one"))
    second = await answer(engine, ask(40, image, 5, salt="two"))
    assert second[-1].cached_tokens == 0
    assert ids_of(first) == ids_of(second)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[list[bool]]:
    """Per request, which of its images went with their bytes."""
    requests: list[list[bool]] = []
    original = vllm_http.body

    def body(*args: Any, **options: Any) -> bytes:
        said = original(*args, **options)
        requests.append(["url" in part for part in json.loads(said)["content_parts"]])
        return said

    monkeypatch.setattr(vllm_http, "body", body)
    return requests


async def test_an_image_is_sent_once(engine: RemoteEngine, sent: list[list[bool]]) -> None:
    first, second = picture(12), picture(13)
    alone = await answer(engine, ask(5, first, 5))
    again = await answer(engine, ask(5, first, 5))
    await answer(engine, ask(5, first, 5, second))
    assert sent == [[True], [False], [False, True]]
    assert ids_of(alone) == ids_of(again)


async def test_an_image_that_the_server_lacks_is_sent_again(
    engine: RemoteEngine, vllm_server: VllmServer, sent: list[list[bool]]
) -> None:
    request = ask(picture(14), 30, salt="dropped")
    key = vllm_http.image_key(request, request.images[0])
    engine._servers[vllm_server.url]._known[key] = None
    await answer(engine, request)
    assert sent == [[False], [True]]


@contextlib.asynccontextmanager
async def unused(server_settings: Settings) -> AsyncIterator[None]:
    """An engine that does not become ready."""

    async def run() -> None:
        async with RemoteEngine.running(server_settings):
            pytest.fail("it is ready")

    starting = asyncio.create_task(run())
    yield
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting


async def heard(log: pytest.LogCaptureFixture, words: str) -> None:
    async with asyncio.timeout(20):
        while words not in log.text:  # noqa: ASYNC110  # another process sets no events here
            await asyncio.sleep(0.05)


async def test_a_server_that_is_not_there_is_named(caplog: pytest.LogCaptureFixture) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with unused(Settings(engine="remote", engine_urls=url)):
        await heard(caplog, f"{url} is not used: Cannot connect to host")


async def test_a_key_that_is_not_taken_is_named(
    vllm_server: VllmServer, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(engine="remote", engine_urls=vllm_server.url, engine_api_key="wrong")
    async with unused(settings):
        await heard(caplog, f"{vllm_server.url} is not used: Unauthorized")


async def test_a_window_that_the_model_was_not_made_for_has_to_be_told_to_vllm(
    vllm_server: VllmServer, caplog: pytest.LogCaptureFixture
) -> None:
    wider = Settings(engine="remote", engine_urls=vllm_server.url, engine_api_key=API_KEY)
    async with unused(wider.model_copy(update={"max_model_len": 4096})):
        override = """--hf-overrides '{"text_config":{"max_position_embeddings":4096}}'"""
        await heard(caplog, f"start it with --max-model-len 4096 {override}, or this server")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"latent_query_num": 35}, "it makes 39 tokens of a prompt that has 38"),
        ({"max_position_embeddings": 4096}, "start it with --max-model-len 4096"),
    ],
)
async def test_a_server_with_another_checkpoint_is_not_used(
    vllm_server: VllmServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    change: dict[str, int],
    complaint: str,
) -> None:
    config = json.loads((NANO_CHECKPOINT / "config.json").read_text())
    config |= change
    config["text_config"] |= change
    (tmp_path / "config.json").write_text(json.dumps(config))
    shutil.copy(NANO_CHECKPOINT / "tokenizer.json", tmp_path)
    async with unused(remote_settings(vllm_server, model=tmp_path)):
        await heard(caplog, complaint)


async def test_one_server_of_two_is_enough(vllm_server: VllmServer) -> None:
    absent = f"http://127.0.0.1:{free_port()}"
    settings = remote_settings(vllm_server).model_copy(
        update={"engine_urls": (absent, vllm_server.url)}
    )
    async with RemoteEngine.running(settings) as engine:
        assert await engine.ready()
        await asyncio.gather(*(answer(engine, ask(number)) for number in range(1, 9)))


async def rest_of(deltas: AsyncGenerator[Delta, None]) -> list[Delta]:
    return [delta async for delta in deltas]


@pytest.mark.usefixtures("unending")
async def test_a_server_that_hangs_is_noticed_and_used_again(
    engine: RemoteEngine, vllm_server: VllmServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    live = streamed(engine, ask(5, max_tokens=1500, sampling=NOISE))
    await anext(live)
    vllm_server.signal(signal.SIGSTOP)
    try:
        with pytest.raises(EngineDead, match="no longer answers"):
            await asyncio.wait_for(rest_of(live), 10)
        assert not await engine.ready()
        with pytest.raises(EngineDead):
            await answer(engine, ask(5))
    finally:
        vllm_server.signal(signal.SIGCONT)
    await heard(caplog, f"{vllm_server.url} is used")
    await answer(engine, ask(picture(15), 5))


async def test_answers_wait_for_a_place(
    engine: RemoteEngine, vllm_server: VllmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server: RemoteServer = engine._servers[vllm_server.url]
    monkeypatch.setattr(server, "_slots", asyncio.Semaphore(1))
    first, second = (streamed(engine, ask(5 + number, max_tokens=400)) for number in range(2))
    await anext(first)
    waiting = asyncio.create_task(anext(second))
    await asyncio.sleep(0)
    assert server.live == 1
    await first.aclose()
    async with asyncio.timeout(20):
        await waiting
    assert server.live == 1
    await second.aclose()
    assert server.live == 0


async def test_killed_in_mid_answer_another_server_goes_on(tmp_path: Path) -> None:
    """Every turn that a server was at ends on the other one, with the undisturbed words."""
    servers = [VllmServer(tmp_path), VllmServer(tmp_path)]
    gateway = ServerProcess(
        tmp_path / "data",
        KOSMOSX_ENGINE="remote",
        KOSMOSX_ENGINE_URLS=",".join(server.url for server in servers),
        KOSMOSX_ENGINE_API_KEY=API_KEY,
    )
    gateway.data_dir.mkdir()
    try:
        for server in servers:
            server.wait_until_well()
        gateway.start()
        undisturbed = await say(gateway)
        turns = [asyncio.create_task(say(gateway)) for _ in range(48)]
        async with asyncio.timeout(60):
            while not (busy := [server for server in servers if server.unfinished()]):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        busy[0].kill()
        assert await asyncio.gather(*turns) == [undisturbed] * len(turns)
        log = gateway.data_dir / "logs" / "server.log"
        async with asyncio.timeout(10):  # It is told at the next poll; the answers wait for none.
            while f"{busy[0].url} is lost" not in log.read_text():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert "goes on with another engine" in log.read_text()
        # The official client found all of it in order; a further turn finds a server too.
        assert await say(gateway) == undisturbed
    finally:
        gateway.stop()
        for server in servers:
            server.kill()


async def say(gateway: ServerProcess) -> str:
    """A greedy answer about a picture, as its deltas have it."""
    asked = [message("Describe the picture in detail.", picture_url())]
    async with openai.AsyncOpenAI(
        base_url=f"{gateway.base_url}/v1", api_key=gateway.key, max_retries=0
    ) as official:
        events = [
            event
            async for event in await official.responses.create(
                model=MODEL, input=asked, temperature=0, stream=True
            )
        ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.completed", events[-1]
    assert text_of(events) == events[-1].response.output_text
    return text_of(events)
