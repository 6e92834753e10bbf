"""A model that is not Kosmos-2, on the transformers engine: right, and refused what it lacks."""

# ruff: noqa: PLC0415  # importing torch takes seconds; collecting the tests should not

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conversation.entries import Sampling
from kosmosx_stream.engines.checkpoint import Checkpoint
from kosmosx_stream.engines.port import EngineRefused, Generate
from kosmosx_stream.engines.transformers_local import TransformersEngine
from kosmosx_stream.settings import Settings
from tests.kosmosx_stream.engines.conformance import all_deltas, picture
from tests.kosmosx_stream.formats.chat_template import tiny_chat_model as tiny

pytestmark = pytest.mark.filterwarnings("default")  # torch's own deprecations
FAMILIES = ("chatml", "llama3")
QUESTIONS = ("Hello!", "What is the capital of France?", "My name is Ada. And more words.")
TOKENS = 60


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
async def engine(folder: Path) -> AsyncIterator[TransformersEngine]:
    async with TransformersEngine.running(Settings(model=folder)) as running:
        yield running


def ask(ids: list[int], *, sampling: Sampling | None = None, tokens: int = TOKENS) -> Generate:
    return Generate(
        request_id="r",
        prompt_ids=tuple(ids),
        images=(),
        sampling=sampling or Sampling(),
        max_tokens=tokens,
        cache_salt="",
    )


def test_numbers_are_the_checkpoint_s(folder: Path) -> None:
    checkpoint = Checkpoint.read(folder)
    assert (checkpoint.kosmos2, checkpoint.placeholder, checkpoint.image_tokens) == (False, None, 0)
    assert (checkpoint.max_model_len, len(checkpoint.ends)) == (640, 2)
    assert Checkpoint.read(folder, 128).max_model_len == 128
    with pytest.raises(ValueError, match="the model was made for 640"):
        Checkpoint.read(folder, 641)


async def test_greedy_answers_are_those_of_generate(
    folder: Path, engine: TransformersEngine
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    answers = set()
    for question in QUESTIONS:
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_dict=False
        )
        with torch.no_grad():
            whole = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=TOKENS)
        wanted = tuple(whole[0, len(ids) :].tolist())
        deltas = await all_deltas(engine, ask(ids))
        assert tuple(token for delta in deltas for token in delta.token_ids) == wanted
        answers.add(wanted)
    assert len(answers) == len(QUESTIONS)


async def test_each_of_its_ends_ends_an_answer(folder: Path, engine: TransformersEngine) -> None:
    ends = {*Checkpoint.read(folder).ends}
    seen = set()
    for seed in range(200):
        noise = Sampling(temperature=2, seed=seed)
        deltas = await all_deltas(engine, ask([5, 6, 7], sampling=noise))
        ids = [token for delta in deltas for token in delta.token_ids]
        assert ends.isdisjoint(ids[:-1])
        assert (deltas[-1].finish_reason == "stop") == (ids[-1] in ends)
        seen |= ends & {ids[-1]}
        if seen == ends:
            return
    pytest.fail(f"no answer ended in {ends - seen}")


async def test_pictures_are_refused(engine: TransformersEngine) -> None:
    request = Generate(
        request_id="r",
        prompt_ids=(5,),
        images=(picture(1),),
        sampling=Sampling(),
        max_tokens=1,
        cache_salt="",
    )
    with pytest.raises(EngineRefused, match="takes no images"):
        await all_deltas(engine, request)
