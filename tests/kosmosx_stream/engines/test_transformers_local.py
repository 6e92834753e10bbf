"""What the transformers adapter does beyond the port: it is right, it stops, it needs no vLLM."""

# ruff: noqa: PLC0415  # importing torch takes seconds; collecting the tests should not

import asyncio
import io
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from conversation.entries import Sampling
from kosmosx_stream.engines import transformers_model
from kosmosx_stream.engines.checkpoint import Checkpoint
from kosmosx_stream.engines.port import EngineError, Generate
from kosmosx_stream.engines.transformers_local import TransformersEngine
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
from tests.server_process import ServerProcess

if TYPE_CHECKING:
    from tests.kosmosx_stream.kosmosx.reference import Prompt, Reference

pytestmark = pytest.mark.filterwarnings("default")  # torch's own deprecations


@pytest.fixture
def engine(transformers_engine: TransformersEngine) -> TransformersEngine:
    return transformers_engine


@pytest.fixture
def unending(transformers: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    transformers.unending(monkeypatch)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A checkpoint with random weights, under which everything in a prompt matters."""
    from tests.kosmosx_stream.kosmosx import tiny_checkpoint

    shape = tiny_checkpoint.Shape(tied=True, vocab_size=331)
    return Checkpoint.read(tiny_checkpoint.write(shape, tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def reference(tiny: Checkpoint) -> "Reference":
    from tests.kosmosx_stream.kosmosx.reference import Reference

    return Reference(tiny.folder, *tiny.placeholder)


def prompt(request: Generate) -> "Prompt":
    from tests.kosmosx_stream.kosmosx.reference import Prompt

    images = (Image.open(io.BytesIO(image.data)) for image in request.images)
    return Prompt(list(request.prompt_ids), tuple(images))


ONE, TWO = picture(1), picture(2)
PARTS = [(12,), (ONE, 9), (TWO, 9), (ONE, 7, TWO, 5), (TWO, 7, ONE, 5)]


@pytest.mark.usefixtures("unending")
async def test_greedy_answers_are_those_of_transformers_own_generate(
    tiny: Checkpoint, reference: "Reference"
) -> None:
    requests = [ask(*parts, max_tokens=24, of=tiny) for parts in PARTS]
    async with TransformersEngine.running(Settings(model=tiny.folder)) as engine:
        answers = await asyncio.gather(*(answer(engine, request) for request in requests))
    for request, deltas in zip(requests, answers, strict=True):
        assert ids_of(deltas) == reference.greedy(prompt(request), 24).ids


def test_every_picture_is_seen_in_its_place(tiny: Checkpoint, reference: "Reference") -> None:
    from kosmosx_stream.engines.transformers_model import Kosmos2Model

    model, seen = Kosmos2Model(tiny), set()
    for parts in PARTS:
        request = ask(*parts, of=tiny)
        answering = model.answer(request, prompt(request).images, None)
        here = answering._read().log_softmax(-1).detach().flatten().tolist()
        assert here == pytest.approx(reference.logprobs(prompt(request)), abs=1e-4)
        seen.add(tuple(here))
    assert len(seen) == len(PARTS)


@pytest.mark.parametrize("images", [0, 1, 3])
def test_the_model_reads_as_many_tokens_as_are_counted(
    engine: TransformersEngine, images: int
) -> None:
    request = ask(4, *(picture(seed) for seed in range(images)), 3)
    pictures = [Image.new("RGB", (80, 60))] * images
    answering = engine._model.answer(request, pictures, None)
    answering.step()
    assert answering.length == engine.count(request.prompt_ids, images)
    answering.step()
    assert answering.length == engine.count(request.prompt_ids, images) + 1


@pytest.mark.usefixtures("unending")
async def test_a_closed_answer_is_not_stepped_again(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kosmosx_stream.engines.transformers_model import Answer

    stepping, may_go_on = threading.Event(), threading.Event()
    steps: list[int] = []

    def step(_answer: Answer) -> int:
        steps.append(1)
        stepping.set()
        assert may_go_on.wait(10)
        return 100

    monkeypatch.setattr(Answer, "step", step)
    stream = streamed(engine, ask(5, max_tokens=1500))
    reader = asyncio.ensure_future(anext(stream))
    await asyncio.to_thread(stepping.wait, 10)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    may_go_on.set()
    assert await engine.ready()
    assert len(steps) == 1


async def test_an_error_of_torch_ends_one_answer(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kosmosx_stream.engines.transformers_model import Answer

    def step(_answer: Answer) -> int:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(Answer, "step", step)
        with pytest.raises(EngineError, match="out of memory"):
            await answer(engine, ask(5))
    assert await engine.ready()
    assert await answer(engine, ask(5))


@pytest.mark.parametrize(
    ("top_p", "possible"), [(1.0, {0, 1, 2, 3}), (0.79, {0, 1}), (0.81, {0, 1, 2}), (0.1, {0})]
)
def test_top_p_leaves_the_likely_tokens(top_p: float, possible: set[int]) -> None:
    import torch

    from kosmosx_stream.engines.transformers_model import draw

    generator = torch.Generator().manual_seed(0)
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64).log()
    sampling = Sampling(temperature=1, top_p=top_p)
    assert {draw(logits, sampling, generator) for _ in range(400)} == possible


def test_the_temperature_sharpens() -> None:
    import torch

    from kosmosx_stream.engines.transformers_model import draw

    generator = torch.Generator().manual_seed(0)
    logits = torch.tensor([1.0, 3.0, 0.0])
    cold, hot = Sampling(temperature=0.2), Sampling(temperature=100)
    assert {draw(logits, cold, generator) for _ in range(200)} == {1}
    assert {draw(logits, hot, generator) for _ in range(200)} == {0, 1, 2}


async def test_a_checkpoint_that_lacks_weights_is_not_served(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny.folder, tmp_path / "lacking"))
    weights = load_file(folder / "model.safetensors")
    del weights["image_to_text_projection.dense.bias"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks .*image_to_text_projection\.dense\.bias"):
        async with TransformersEngine.running(Settings(model=folder)):
            pass


async def test_a_prompt_read_in_parts_has_the_same_answer(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = (7, picture(1), 20, picture(2), 3)
    async with TransformersEngine.running(Settings(model=tiny.folder)) as engine:
        whole = await answer(engine, ask(*prompt, max_tokens=20, of=tiny))
        monkeypatch.setattr(transformers_model, "READ", 5)
        parts = await answer(engine, ask(*prompt, max_tokens=20, of=tiny))
    assert ids_of(parts) == ids_of(whole)


async def test_a_window_beyond_what_the_model_was_made_for(tiny: Checkpoint) -> None:
    window = 2 * tiny.max_model_len
    async with TransformersEngine.running(Settings(model=tiny.folder, max_model_len=window)) as it:
        deltas = await answer(it, ask(window - 4, max_tokens=9, sampling=NOISE, of=tiny))
    assert len(ids_of(deltas)) == 3


def test_importing_the_server_loads_neither_vllm_nor_torch() -> None:
    code = "import sys, kosmosx_stream.app; sys.exit(bool({'vllm', 'torch'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], check=True)


ALONE = """
import asyncio, sys
sys.modules["vllm"] = None  # importing it fails
from conversation.entries import Sampling
from kosmosx_stream.engines.port import Generate
from kosmosx_stream.engines.transformers_local import TransformersEngine
from kosmosx_stream.settings import Settings

REQUEST = Generate(
    request_id="r", prompt_ids=(0,), images=(), sampling=Sampling(), max_tokens=1, cache_salt="s"
)

async def main():
    async with TransformersEngine.running(Settings()) as engine:
        await engine.generate(REQUEST, lambda delta: print(len(delta.token_ids)))

asyncio.run(main())
"""


def test_it_runs_without_vllm_and_prints_nothing() -> None:
    command = [sys.executable, "-c", ALONE]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_the_server_runs_on_it(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    server = ServerProcess(tmp_path / "data", KOSMOSX_ENGINE="transformers")
    server.start()
    try:
        reply = httpx.post(
            f"{server.base_url}/v1/responses",
            json={"model": "kosmos-x", "input": "Hello!", "max_output_tokens": 20},
            headers={"Authorization": f"Bearer {server.key}"},
            timeout=30,
        )
        assert reply.json()["status"] in {"completed", "incomplete"}
        assert reply.json()["usage"]["output_tokens"] > 0
    finally:
        assert server.stop() == 0
    assert not (server.data_dir / "vllm.log").exists()
