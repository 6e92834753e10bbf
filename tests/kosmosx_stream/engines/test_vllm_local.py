"""The engine port on vLLM, with the bundled checkpoint. One engine serves all tests."""

# ruff: noqa: PLC0415  # importing vLLM takes seconds; collecting the tests should not

import asyncio
import contextlib
import hashlib
import io
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from prometheus_client import REGISTRY

from conversation.entries import Sampling
from kosmosx_stream.engines.port import Delta, EngineDead, EngineRefused, Generate, ImageInput
from kosmosx_stream.engines.vllm_local import VllmEngine
from kosmosx_stream.settings import Settings

pytestmark = pytest.mark.filterwarnings("default")  # torch's and vLLM's own deprecations
NOISE = Sampling(temperature=2.0, seed=1)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vllm")


@pytest.fixture(scope="session")
async def engine(folder: Path) -> AsyncIterator[VllmEngine]:
    async with VllmEngine.running(Settings(data_dir=folder)) as engine:
        yield engine


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers do not end by themselves."""
    from kosmosx_stream.engines import vllm_process

    original = vllm_process.sampling_params

    def sampling_params(request: Generate) -> object:
        parameters = original(request)
        parameters.ignore_eos = True
        return parameters

    monkeypatch.setattr(vllm_process, "sampling_params", sampling_params)


def picture(seed: int) -> ImageInput:
    cells = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(cells).resize((112, 112), Image.Resampling.NEAREST).save(file, "PNG")
    return ImageInput(hashlib.sha256(file.getvalue()).hexdigest(), file.getvalue())


def ask(
    engine: VllmEngine,
    *parts: int | ImageInput,
    max_tokens: int = 12,
    sampling: Sampling | None = None,
    salt: str = "tenant",
) -> Generate:
    """`<s>`, then so many words for a number, a pair for an image."""
    ids, images = [0], []
    for part in parts:
        if isinstance(part, int):
            ids += [100 + (7 * len(ids) + word) % 500 for word in range(part)]
        else:
            ids += engine._pair
            images.append(part)
    return Generate(
        request_id=os.urandom(8).hex(),
        prompt_ids=tuple(ids),
        images=tuple(images),
        sampling=sampling or Sampling(),
        max_tokens=max_tokens,
        cache_salt=salt,
    )


async def answer(engine: VllmEngine, request: Generate) -> list[Delta]:
    return [delta async for delta in engine.generate(request)]


def ids_of(deltas: list[Delta]) -> list[int]:
    return [token for delta in deltas for token in delta.token_ids]


async def test_deltas_add_up_to_the_answer(engine: VllmEngine) -> None:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    request = ask(engine, picture(1), 20, max_tokens=40)
    deltas = await answer(engine, request)
    final = SamplingParams(
        temperature=0, max_tokens=40, detokenize=False, output_kind=RequestOutputKind.FINAL_ONLY
    )
    image = Image.open(io.BytesIO(request.images[0].data))
    prompt = {"prompt_token_ids": list(request.prompt_ids), "multi_modal_data": {"image": [image]}}
    async for output in engine._llm.generate(prompt, final, "whole"):
        assert ids_of(deltas) == list(output.outputs[0].token_ids)
        assert engine.count(request.prompt_ids, 1) == len(output.prompt_token_ids)
    assert len(deltas) > 1
    assert [delta.finish_reason for delta in deltas[:-1]] == [None] * (len(deltas) - 1)


@pytest.mark.usefixtures("endless")
async def test_the_budget_ends_an_answer(engine: VllmEngine) -> None:
    deltas = await answer(engine, ask(engine, 5, max_tokens=7, sampling=NOISE))
    assert (len(ids_of(deltas)), deltas[-1].finish_reason) == (7, "length")


async def test_the_end_token_is_the_last_id_of_an_answer_that_stops(engine: VllmEngine) -> None:
    for seed in range(20):
        sampling = Sampling(temperature=1.5, seed=seed)
        deltas = await answer(engine, ask(engine, 6, max_tokens=400, sampling=sampling))
        if deltas[-1].finish_reason == "stop":
            assert ids_of(deltas).index(2) == len(ids_of(deltas)) - 1
            return
    pytest.fail("no answer stopped by itself")


async def test_a_seed_draws_the_same_answer_again(engine: VllmEngine) -> None:
    request = ask(engine, 9, max_tokens=20, sampling=NOISE)
    assert ids_of(await answer(engine, request)) == ids_of(await answer(engine, request))


async def test_two_images_in_their_order(engine: VllmEngine) -> None:
    one, two = picture(1), picture(2)
    there, back = ask(engine, one, 4, two, 9), ask(engine, two, 4, one, 9)
    assert engine.count(there.prompt_ids, 2) == 1 + 2 * (2 + engine.image_tokens) + 4 + 9
    first, second = await asyncio.gather(answer(engine, there), answer(engine, back))
    assert first[-1].finish_reason
    assert second[-1].finish_reason


async def test_many_at_once_answer_as_one_by_one(engine: VllmEngine) -> None:
    requests = [ask(engine, 3 + n, *[picture(n)] * (n % 3), 5) for n in range(12)]
    together = await asyncio.gather(*(answer(engine, request) for request in requests))
    assert all(deltas[-1].finish_reason for deltas in together)
    assert await engine.ready()


def running() -> float:
    """Requests that were running in the engine's last step."""
    return sum(
        sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "vllm:num_requests_running"
    )


@pytest.mark.usefixtures("endless")
async def test_closing_the_generator_frees_the_request(engine: VllmEngine) -> None:
    requests = [ask(engine, 5 + n, max_tokens=1500, sampling=NOISE) for n in range(6)]
    streams = [engine.generate(request) for request in requests]
    for stream in streams:
        await anext(stream)
    assert engine._llm.get_num_unfinished_requests() == 6
    for stream in streams:
        await stream.aclose()
    assert engine._llm.get_num_unfinished_requests() == 0
    await engine._probe()
    assert running() <= 1


@pytest.mark.usefixtures("endless")
async def test_cancelling_the_reader_frees_the_request(engine: VllmEngine) -> None:
    heard = asyncio.Event()

    async def read() -> None:
        stream = engine.generate(ask(engine, 5, max_tokens=1500, sampling=NOISE))
        async with contextlib.aclosing(stream):
            async for _ in stream:
                heard.set()

    reader = asyncio.create_task(read())
    async with asyncio.timeout(10):
        await heard.wait()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert engine._llm.get_num_unfinished_requests() == 0


def without_image(engine: VllmEngine) -> Generate:
    request = ask(engine, picture(1), 3)
    return Generate(**{**_fields(request), "images": ()})


def with_a_lone_image(engine: VllmEngine) -> Generate:
    return Generate(**{**_fields(ask(engine, 3)), "images": (picture(1),)})


def _fields(request: Generate) -> dict[str, object]:
    return {name: getattr(request, name) for name in request.__struct_fields__}


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (without_image, "1 <image></image> pairs for 0 images"),
        (with_a_lone_image, "0 <image></image> pairs for 1 images"),
        (lambda engine: ask(engine, engine.max_model_len), "the model takes"),
        (lambda engine: Generate(**{**_fields(ask(engine)), "prompt_ids": (0, 99_999)}), "99999"),
        (lambda engine: ask(engine, ImageInput("0" * 64, b"no image")), "cannot be decoded"),
    ],
)
async def test_bad_input_is_refused_with_a_reason(
    engine: VllmEngine, make: Callable[[VllmEngine], Generate], reason: str
) -> None:
    with pytest.raises(EngineRefused, match=reason):
        await answer(engine, make(engine))
    assert await engine.ready()


async def test_the_second_turn_comes_from_the_prefix_cache(engine: VllmEngine) -> None:
    image = picture(10)
    first = await answer(engine, ask(engine, 40, image, 5, salt="prefix"))
    second = await answer(engine, ask(engine, 40, image, 5, 30, salt="prefix"))
    # 1 + 40 + 2 + 36 + 5 = 84 common tokens, in blocks of 32.
    assert [delta.cached_tokens for delta in first] == [0] * len(first)
    assert [delta.cached_tokens for delta in second] == [64] * len(second)


async def test_tenants_do_not_share_the_cache(engine: VllmEngine) -> None:
    image = picture(11)
    first = await answer(engine, ask(engine, 40, image, 5, salt="one"))
    second = await answer(engine, ask(engine, 40, image, 5, salt="two"))
    assert second[0].cached_tokens == 0
    assert ids_of(first) == ids_of(second)


async def test_an_image_that_vllm_dropped_is_sent_again(engine: VllmEngine) -> None:
    request = ask(engine, picture(12), 30, salt="dropped")
    first = await answer(engine, request)
    await engine._llm.reset_mm_cache()
    await engine._llm.reset_prefix_cache()
    second = await answer(engine, request)
    assert (ids_of(second), second[0].cached_tokens) == (ids_of(first), 0)


@pytest.mark.usefixtures("engine")
def test_the_log_is_in_the_file_and_the_environment_is_as_it_was(folder: Path) -> None:
    assert "init engine" in (folder / "vllm.log").read_text()
    assert "VLLM_LOGGING_CONFIG_PATH" not in os.environ


@pytest.mark.slow
@pytest.mark.usefixtures("endless")
async def test_a_dead_engine_is_reported(tmp_path: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    async with VllmEngine.running(Settings(data_dir=tmp_path)) as engine:
        stream = engine.generate(ask(engine, 5, max_tokens=1500, sampling=NOISE))
        await anext(stream)
        for process in set(psutil.Process().children(recursive=True)) - before:
            if "EngineCore" in process.name():
                process.kill()
        with pytest.raises(EngineDead):
            async for _ in stream:
                pass
        assert not await engine.ready()
        with pytest.raises(EngineDead):
            await answer(engine, ask(engine, 5))


SERVER = """
import asyncio, sys
from pathlib import Path
from kosmosx_stream.engines.vllm_local import VllmEngine
from kosmosx_stream.settings import Settings

async def main():
    async with VllmEngine.running(Settings(data_dir=Path(sys.argv[1]))):
        print("up", flush=True)
        await asyncio.sleep(float(sys.argv[2]))

if __name__ == "__main__":
    asyncio.run(main())
"""


async def start_server(folder: Path, seconds: float) -> tuple[asyncio.subprocess.Process, Path]:
    script = folder / "server.py"
    script.write_text(SERVER)
    output = folder / "output"
    with output.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(script), str(folder), str(seconds), stdout=file, stderr=file
        )
    return process, output


async def wait_for(condition: Callable[[], bool], timeout_s: float) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  # other processes set no events here
            await asyncio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["serving", "loading"])
async def test_a_killed_server_leaves_no_process(tmp_path: Path, moment: str) -> None:
    server, output = await start_server(tmp_path, 600)
    parent = psutil.Process(server.pid)

    def engines() -> list[psutil.Process]:
        return [child for child in parent.children(recursive=True) if child.memory_info().vms]

    await wait_for(lambda: len(engines()) >= 2, 120)
    if moment == "serving":
        await wait_for(lambda: b"up" in output.read_bytes(), 120)
    children = engines()
    server.send_signal(signal.SIGKILL)
    await server.wait()
    await wait_for(lambda: not any(child.is_running() for child in children), 30)


@pytest.mark.slow
async def test_a_server_that_ends_leaves_no_process_and_prints_nothing(tmp_path: Path) -> None:
    server, output = await start_server(tmp_path, 2)
    parent = psutil.Process(server.pid)
    await wait_for(lambda: b"up" in output.read_bytes(), 120)
    children = parent.children(recursive=True)
    assert await server.wait() == 0
    await wait_for(lambda: not any(child.is_running() for child in children), 10)
    lines = [line for line in output.read_text().splitlines() if "Warning" not in line]
    assert lines == ["up"]
