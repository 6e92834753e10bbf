"""vLLM's greedy answers are those of transformers, token for token, in float32.

Two engines by default: a tied checkpoint with prefix caching, an untied one with chunked prefill.
"""

# ruff: noqa: PLC0415  # importing vLLM takes seconds; collecting the tests should not

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer

from kosmosx_stream.engines.checkpoint import Checkpoint
from tests.kosmosx_stream.kosmosx import tiny_checkpoint as tiny
from tests.kosmosx_stream.kosmosx.reference import Prompt, Reference

pytestmark = pytest.mark.filterwarnings("default")  # torch's and vLLM's own deprecations
TOKENS = 24
LOGPROB_TOLERANCE = 3e-4
NANO = Path(__file__).parents[3] / "kosmosx_stream/kosmosx/nano/checkpoint"


def picture(seed: int, width: int = 80, height: int = 60) -> Image.Image:
    """Blocks of random colour: something to see after any resizing."""
    cells = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((width, height), Image.Resampling.NEAREST)


@dataclass(frozen=True)
class Served:
    """One answer of vLLM."""

    ids: list[int]
    logprobs: list[float]
    prompt_tokens: int
    cached_tokens: int


class Pair:
    """The same checkpoint in vLLM and in transformers.

    vLLM runs in this process, which saves the start of another interpreter; `processes` gives it
    its own, as in serving.
    """

    def __init__(self, folder: Path, *, processes: bool = False, **options: Any) -> None:
        from vllm import LLM

        dtype = getattr(torch, options.setdefault("dtype", "float32"))
        vocabulary = json.loads((folder / "tokenizer.json").read_text())
        added = {token["content"]: token["id"] for token in vocabulary["added_tokens"]}
        self.begin, self.end = added["<image>"], added["</image>"]
        self.reference = Reference(folder, self.begin, self.end, dtype)
        self.vocab_size: int = self.reference.model.config.text_config.vocab_size
        self.patch = pytest.MonkeyPatch()
        self.patch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", str(int(processes)))
        self.patch.setattr(torch, "set_num_threads", torch.set_num_threads)  # vLLM replaces it
        self.llm = LLM(
            model=str(folder), **{"block_size": 32, "enforce_eager": True, "seed": 0} | options
        )

    def prompt(self, seed: int, *parts: int | Image.Image) -> Prompt:
        """`<s>`, then random words for every number, a pair for every image."""
        rng = random.Random(seed)
        ids, images = [tiny.BOS], []
        for part in parts:
            if isinstance(part, int):
                ids += [rng.randrange(len(tiny.SPECIAL), self.vocab_size) for _ in range(part)]
            else:
                ids += [self.begin, self.end]
                images.append(part)
        return Prompt(ids, tuple(images))

    def serve(self, prompts: Sequence[Prompt], tokens: int = TOKENS) -> list[Served]:
        from vllm import SamplingParams

        sampling = SamplingParams(
            temperature=0, max_tokens=tokens, ignore_eos=True, logprobs=0, detokenize=False
        )
        requests = [
            {"prompt_token_ids": prompt.ids}
            | ({"multi_modal_data": {"image": list(prompt.images)}} if prompt.images else {})
            for prompt in prompts
        ]
        return [_served(output) for output in self.llm.generate(requests, sampling, use_tqdm=False)]

    def assert_equal(self, prompts: Sequence[Prompt], tokens: int = TOKENS) -> list[Served]:
        answers = self.serve(prompts, tokens)
        for prompt, got in zip(prompts, answers, strict=True):
            want = self.reference.greedy(prompt, tokens)
            assert got.ids == want.ids
            assert got.logprobs == pytest.approx(want.logprobs, abs=LOGPROB_TOLERANCE)
            assert got.prompt_tokens == len(self.reference.expand(prompt.ids)[0])
        return answers

    def close(self) -> None:
        from vllm.distributed import cleanup_dist_env_and_memory

        self.llm.llm_engine.engine_core.shutdown()
        del self.llm
        cleanup_dist_env_and_memory()
        self.patch.undo()


def _served(output: Any) -> Served:
    completion = output.outputs[0]
    logprobs = [next(iter(step.values())).logprob for step in completion.logprobs]
    ids = list(completion.token_ids)
    return Served(ids, logprobs, len(output.prompt_token_ids), output.num_cached_tokens)


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("tied")
    pair = Pair(tiny.write(tiny.Shape(tied=True, vocab_size=331), folder))
    yield pair
    pair.close()


@pytest.fixture(scope="module")
def untied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("untied")
    shape = tiny.Shape(tied=False, vocab_size=517, heads=3, head_size=64, latents=16, seed=1)
    tiny.write(shape, folder)
    stretched = Checkpoint.read(folder, 2 * tiny.POSITIONS)
    pair = Pair(
        folder,
        max_num_batched_tokens=48,
        enable_chunked_prefill=True,
        max_model_len=stretched.max_model_len,
        hf_overrides=stretched.config_overrides,
    )
    yield pair
    pair.close()


class TestTiedWithPrefixCaching:
    def test_text_only(self, tied: Pair) -> None:
        tied.assert_equal([tied.prompt(1, 12)])

    def test_one_image_matters(self, tied: Pair) -> None:
        red, blue = (tied.prompt(2, picture(seed), 9) for seed in (1, 2))
        first, second = tied.assert_equal([red, blue])
        assert first.logprobs != second.logprobs

    def test_two_images_and_their_order(self, tied: Pair) -> None:
        one, two = picture(1), picture(2, 50, 90)
        there = tied.prompt(3, one, 7, two, 5)
        back = tied.prompt(3, two, 7, one, 5)
        first, second = tied.assert_equal([there, back])
        assert first.logprobs != second.logprobs

    def test_a_mixed_batch(self, tied: Pair) -> None:
        parts = ((20,), (picture(3), 4), (1,), (6, picture(4), 30), (picture(5), picture(6), 40))
        tied.assert_equal([tied.prompt(seed, *part) for seed, part in enumerate(parts, 10)])

    def test_a_repeated_prompt_comes_from_the_prefix_cache(self, tied: Pair) -> None:
        prompt = tied.prompt(4, 30, picture(7), 40)
        (first,) = tied.assert_equal([prompt])
        (second,) = tied.assert_equal([prompt])
        assert (first.cached_tokens, second.cached_tokens) == (0, 64)

    def test_another_image_behind_the_same_ids_is_not_a_cache_hit(self, tied: Pair) -> None:
        first, second = (tied.prompt(5, 40, picture(seed), 40) for seed in (8, 9))
        tied.assert_equal([first])
        (answer,) = tied.assert_equal([second])
        assert answer.cached_tokens == 32

    def test_up_to_the_last_position(self, tied: Pair) -> None:
        limit = tied.llm.llm_engine.model_config.max_model_len
        prompt = tied.prompt(6, limit - 9)
        assert len(prompt.ids) == limit - 8
        tied.assert_equal([prompt], tokens=8)

    def test_fewer_pairs_than_images_are_refused(self, tied: Pair) -> None:
        lone = Prompt([tiny.BOS, tied.begin, 7, tied.end], (picture(1),))
        with pytest.raises(ValueError, match="fewer <image></image> pairs"):
            tied.serve([lone])
        tied.assert_equal([tied.prompt(7, 3)])


class TestUntiedWithChunkedPrefill:
    def test_prompts_longer_than_a_chunk(self, untied: Pair) -> None:
        untied.assert_equal([untied.prompt(1, 150), untied.prompt(2, 70)])

    def test_an_image_across_a_chunk_border(self, untied: Pair) -> None:
        untied.assert_equal([untied.prompt(3, 40, picture(1), 60, picture(2), 3)])

    def test_a_mixed_batch(self, untied: Pair) -> None:
        parts = ((100,), (picture(3), 90), (5,), (picture(4), picture(5), 20))
        untied.assert_equal([untied.prompt(seed, *part) for seed, part in enumerate(parts, 20)])

    def test_beyond_what_the_model_was_made_for(self, untied: Pair) -> None:
        prompt = untied.prompt(4, tiny.POSITIONS - 60, picture(6), tiny.POSITIONS // 2)
        untied.assert_equal([prompt])


MIXED = ((12,), (picture(1), 9), (6, picture(2), 30, picture(3), 4), (70,))


@pytest.fixture
def nano() -> Iterator[Pair]:
    pair = Pair(NANO)
    yield pair
    pair.close()


@pytest.fixture
def nano_bfloat16() -> Iterator[Pair]:
    pair = Pair(NANO, dtype="bfloat16")
    yield pair
    pair.close()


@pytest.fixture
def compiled(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tiny.write(tiny.Shape(tied=True, vocab_size=331), tmp_path), enforce_eager=False)
    yield pair
    pair.close()


@pytest.fixture
def two_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "0|1")
    folder = tiny.write(tiny.Shape(tied=False, vocab_size=331, vision_heads=2), tmp_path)
    pair = Pair(folder, processes=True, tensor_parallel_size=2)
    yield pair
    pair.close()


@pytest.mark.slow
class TestSweep:
    """More ways to run, one engine each."""

    @pytest.mark.parametrize("engine", ["nano", "compiled", "two_ranks"])
    def test_a_mixed_batch(self, engine: str, request: pytest.FixtureRequest) -> None:
        pair: Pair = request.getfixturevalue(engine)
        prompts = [pair.prompt(seed, *parts) for seed, parts in enumerate(MIXED, 30)]
        answers = pair.assert_equal(prompts)
        pair.assert_equal(prompts, tokens=100)
        assert len({tuple(answer.ids) for answer in answers}) == len(prompts)

    def test_turns_of_a_conversation(self, nano: Pair) -> None:
        """Prompts that the checkpoint was trained on; answers end, and generation goes on."""
        tokenizer = Tokenizer.from_file(str(NANO / "tokenizer.json"))
        prompts = []
        for text in ("What is in this image?", "How many shapes are there?", "Hello!"):
            words = [
                tokenizer.encode(part, add_special_tokens=False).ids
                for part in ("Question:", text, "Answer:")
            ]
            asked = [token for part in words for token in part]
            ground = tokenizer.token_to_id("<grounding>")
            seen = [tiny.BOS, nano.begin, nano.end, ground, *asked]
            prompts += [Prompt([tiny.BOS, *asked]), Prompt(seen, (picture(1),))]
        answers = nano.assert_equal(prompts, tokens=48)
        assert any(tiny.EOS in answer.ids for answer in answers)

    def test_bfloat16_errs_no_more_than_transformers(self, nano_bfloat16: Pair) -> None:
        """First tokens' log-probabilities against float32; the same ones in both."""
        pair = nano_bfloat16
        prompts = [
            pair.prompt(seed, *MIXED[seed % 2], length) for seed in range(16) for length in (3, 40)
        ]
        exact = Reference(NANO, pair.begin, pair.end)
        wrong_here, wrong_there = [], []
        for prompt, served in zip(prompts, pair.serve(prompts, 1), strict=True):
            wanted = exact.logprobs(prompt)[served.ids[0]]
            wrong_here.append(abs(served.logprobs[0] - wanted))
            wrong_there.append(abs(pair.reference.logprobs(prompt)[served.ids[0]] - wanted))
        assert np.mean(wrong_here) < 2 * np.mean(wrong_there)
