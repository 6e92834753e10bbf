"""What the vLLM adapter does beyond the port: caches, processes, the log."""

# ruff: noqa: PLC0415  # importing vLLM takes seconds; collecting the tests should not

import asyncio
import gc
import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image
from prometheus_client import REGISTRY

from kosmosx_stream.cancelling import end
from kosmosx_stream.engines import vllm_local
from kosmosx_stream.engines.port import EngineDead
from kosmosx_stream.engines.vllm_local import VllmEngine
from kosmosx_stream.settings import Settings
from tests.kosmosx_stream.engines.conformance import (
    NOISE,
    Subject,
    answer,
    ask,
    ids_of,
    picture,
    streamed,
)

pytestmark = pytest.mark.filterwarnings("default")  # torch's and vLLM's own deprecations


async def test_a_start_that_fails_names_the_log_that_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kosmosx_stream.engines import vllm_process

    def fail(*_: object) -> None:
        raise RuntimeError("Engine core initialization failed. See root cause above.")

    monkeypatch.setattr(vllm_process, "start", fail)
    with pytest.raises(RuntimeError, match=f"{tmp_path / 'vllm.log'} says why"):
        async with VllmEngine.running(Settings(data_dir=tmp_path)):
            pass


async def test_a_start_that_is_cancelled_complains_of_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kosmosx_stream.engines import vllm_process

    begun, killed = threading.Event(), threading.Event()

    def start(*_: object) -> None:
        begun.set()
        killed.wait()
        raise RuntimeError("Engine core initialization failed. See root cause above.")

    monkeypatch.setattr(vllm_process, "start", start)
    monkeypatch.setattr(vllm_local, "_kill_engine", killed.set)
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, each: complaints.append(each))
    context = VllmEngine.running(Settings(data_dir=tmp_path))
    starting = asyncio.create_task(context.__aenter__())
    await asyncio.to_thread(begun.wait)
    await end(starting)
    del starting, context
    gc.collect()
    assert complaints == []


@pytest.fixture
def engine(vllm_engine: VllmEngine) -> VllmEngine:
    return vllm_engine


@pytest.fixture
def unending(vllm: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers do not end by themselves."""
    vllm.unending(monkeypatch)


async def test_deltas_add_up_to_the_answer(engine: VllmEngine) -> None:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    request = ask(picture(1), 20, max_tokens=40)
    deltas = await answer(engine, request)
    final = SamplingParams(
        temperature=0, max_tokens=40, detokenize=False, output_kind=RequestOutputKind.FINAL_ONLY
    )
    image = Image.open(io.BytesIO(request.images[0].data))
    prompt = {"prompt_token_ids": list(request.prompt_ids), "multi_modal_data": {"image": [image]}}
    async for output in engine._llm.generate(prompt, final, "whole"):
        assert ids_of(deltas) == list(output.outputs[0].token_ids)
        assert engine.count(request.prompt_ids, 1) == len(output.prompt_token_ids)


@pytest.mark.usefixtures("unending")
async def test_what_is_not_taken_comes_as_one_delta(engine: VllmEngine) -> None:
    stream = streamed(engine, ask(5, max_tokens=20, sampling=NOISE))
    first = await anext(stream)
    while engine._llm.get_num_unfinished_requests():
        await engine._probe()  # It waits its turn, step by step.
    rest = [delta async for delta in stream]
    assert [delta.finish_reason for delta in rest] == ["length"]
    assert len(ids_of([first, *rest])) == 20


@pytest.mark.usefixtures("unending")
async def test_what_is_said_between_two_beats_is_one_delta(
    engine: VllmEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kosmosx_stream.engines import vllm_outputs

    monkeypatch.setattr(vllm_outputs, "PIECES_PER_S", 1 / 3600)
    monkeypatch.setattr(engine._llm.output_processor, "_beat", vllm_outputs.Beat(3600))
    deltas = await answer(engine, ask(5, max_tokens=200))
    assert len(ids_of(deltas)) == 200
    # The first words, a first beat, and the rest with the end.
    assert len(deltas) <= 3
    assert deltas[-1].finish_reason == "length"


@pytest.mark.parametrize(
    ("answers", "pause_s"), [(1, 0.01), (20, 0.01), (64, 0.032), (100, 0.05), (400, 0.05)]
)
def test_the_more_are_answered_the_slower_is_the_beat(answers: int, pause_s: float) -> None:
    from kosmosx_stream.engines.vllm_outputs import Beat

    assert Beat(0.05).pause_s(answers) == pytest.approx(pause_s)


@pytest.mark.parametrize(("answers", "pause_s"), [(1, 0), (8, 0.001), (800, 0.1)])
def test_no_beat_is_faster_than_a_core_can_keep(answers: int, pause_s: float) -> None:
    from kosmosx_stream.engines.vllm_outputs import Beat

    assert Beat(0).pause_s(answers) == pytest.approx(pause_s, abs=2e-4)


def running() -> float:
    """Requests that were running in the engine's last step."""
    return sum(
        sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "vllm:num_requests_running"
    )


@pytest.mark.usefixtures("unending")
async def test_a_closed_answer_no_longer_runs_in_the_engines_process(engine: VllmEngine) -> None:
    streams = [streamed(engine, ask(5 + n, max_tokens=1500, sampling=NOISE)) for n in range(6)]
    for stream in streams:
        await anext(stream)
        await stream.aclose()
    await engine._probe()
    assert running() <= 1


async def test_the_second_turn_comes_from_the_prefix_cache(engine: VllmEngine) -> None:
    image = picture(10)
    first = await answer(engine, ask(40, image, 5, salt="prefix"))
    second = await answer(engine, ask(40, image, 5, 30, salt="prefix"))
    # 1 + 40 + 2 + 36 + 5 = 84 common tokens, in blocks of 32.
    assert [delta.cached_tokens for delta in first] == [0] * len(first)
    assert [delta.cached_tokens for delta in second] == [64] * len(second)


async def test_tenants_do_not_share_the_cache(engine: VllmEngine) -> None:
    image = picture(11)
    first = await answer(engine, ask(40, image, 5, salt="one"))
    second = await answer(engine, ask(40, image, 5, salt="two"))
    assert second[0].cached_tokens == 0
    assert ids_of(first) == ids_of(second)


async def test_an_image_that_vllm_dropped_is_sent_again(engine: VllmEngine) -> None:
    request = ask(picture(12), 30, salt="dropped")
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
@pytest.mark.usefixtures("unending")
async def test_a_dead_engine_is_reported(tmp_path: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    async with VllmEngine.running(Settings(data_dir=tmp_path)) as engine:
        stream = streamed(engine, ask(5, max_tokens=1500, sampling=NOISE))
        await anext(stream)
        for process in set(psutil.Process().children(recursive=True)) - before:
            if "EngineCore" in process.name():
                process.kill()
        with pytest.raises(EngineDead, match="died of SIGKILL"):
            async for _ in stream:
                pass
        assert not await engine.ready()
        with pytest.raises(EngineDead, match=r"vllm\.log"):
            await answer(engine, ask(5))


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
