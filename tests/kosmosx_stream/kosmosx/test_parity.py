"""vLLM's greedy answers are those of transformers, token for token, in float32.

Two engines by default: a tied checkpoint with prefix caching, an untied one with chunked prefill.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from kosmosx_stream.engines.checkpoint import Checkpoint
from tests.kosmosx_stream.kosmosx import tiny_checkpoint as tiny
from tests.kosmosx_stream.kosmosx.pair import Pair, picture
from tests.kosmosx_stream.kosmosx.reference import Prompt, Reference

pytestmark = pytest.mark.filterwarnings("default")  # torch's and vLLM's own deprecations
NANO = Path(__file__).parents[3] / "kosmosx_stream/kosmosx/nano/checkpoint"


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
