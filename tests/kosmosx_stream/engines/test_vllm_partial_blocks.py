"""Prompts that go on in the middle of a block are answered as if nothing had been kept."""

# ruff: noqa: PLC0415  # importing vLLM takes seconds; collecting the tests should not

import inspect
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from tests.kosmosx_stream.kosmosx import tiny_checkpoint as tiny
from tests.kosmosx_stream.kosmosx.pair import Pair, Served, picture
from tests.kosmosx_stream.kosmosx.reference import Prompt

pytestmark = pytest.mark.filterwarnings("default")  # torch's and vLLM's own deprecations
BLOCK = 32
WINDOW = 256
BLOCKS = WINDOW // BLOCK + 1
"""One window and vLLM's own: conversations drive each other's out of the cache."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    pair = Pair(
        tiny.write(tiny.Shape(tied=True, vocab_size=331), tmp_path_factory.mktemp("tied")),
        max_model_len=WINDOW,
        num_gpu_blocks_override=BLOCKS,
    )
    yield pair
    pair.close()


@dataclass(frozen=True)
class Turn:
    """A question, all that came before it, and its answer."""

    prompt: Prompt
    answer: Served

    @property
    def computed(self) -> int:
        """Tokens whose keys and values are known: of the answer's last one they never were."""
        return self.answer.prompt_tokens + len(self.answer.ids) - 1

    def then(self, question: Prompt) -> Prompt:
        """The next turn's prompt."""
        ids = [*self.prompt.ids, *self.answer.ids, *question.ids[1:]]
        return Prompt(ids, (*self.prompt.images, *question.images))


def answered(pair: Pair, *prompts: Prompt, tokens: int = 9) -> list[Turn]:
    """As transformers do."""
    answers = pair.assert_equal(prompts, tokens)
    return [Turn(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]


def test_a_turn_goes_on_where_the_last_one_ended(pair: Pair) -> None:
    (turn,) = answered(pair, pair.prompt(1, 5))
    for seed, parts in enumerate(((3,), (picture(1), 8), (20, picture(2)), (1,), (50,)), 2):
        (next_turn,) = answered(pair, turn.then(pair.prompt(seed, *parts)))
        assert next_turn.answer.cached_tokens == turn.computed
        turn = next_turn


def test_two_go_on_from_the_same_turn(pair: Pair) -> None:
    (turn,) = answered(pair, pair.prompt(11, 45))
    for tokens in (9, 12):  # The first two write into their copies, not into what is kept.
        forks = answered(
            pair, *(turn.then(pair.prompt(seed, 7)) for seed in (12, 13)), tokens=tokens
        )
        assert [fork.answer.cached_tokens for fork in forks] == [turn.computed] * 2


def test_another_picture_in_the_block_is_not_found(pair: Pair) -> None:
    first, second = (pair.prompt(21, 34, picture(seed), 2) for seed in (1, 2))
    (turn,) = answered(pair, first)
    other = turn.then(pair.prompt(22, 4))
    (fork,) = answered(pair, Prompt(other.ids, second.images))
    assert fork.answer.cached_tokens == BLOCK


def test_the_same_words_after_others_are_not_found(pair: Pair) -> None:
    first, second = (pair.prompt(seed, BLOCK - 1) for seed in (24, 25))
    (turn,) = answered(pair, Prompt([*first.ids, *pair.prompt(26, 20).ids[1:]]))
    answered(pair, Prompt([*second.ids, first.ids[1]]))
    (fork,) = answered(pair, Prompt([*second.ids, *turn.then(pair.prompt(27, 4)).ids[BLOCK:]]))
    assert fork.answer.cached_tokens == BLOCK


def test_another_account_finds_nothing(pair: Pair) -> None:
    prompt = pair.prompt(28, 12)
    (answer,) = pair.serve([prompt], 9, cache_salt="Ada")
    turn = Turn(prompt, answer)
    asked = [turn.then(pair.prompt(29, 4))]
    cached = [pair.serve(asked, 9, cache_salt=salt)[0].cached_tokens for salt in ("Bob", "Ada")]
    assert cached == [0, turn.computed]


def test_a_block_that_was_filled_is_found_as_any(pair: Pair) -> None:
    (turn,) = answered(pair, pair.prompt(31, 2 * BLOCK - 9), tokens=9)
    assert turn.computed == 2 * BLOCK
    (next_turn,) = answered(pair, turn.then(pair.prompt(32, 5)))
    assert next_turn.answer.cached_tokens == 2 * BLOCK


def test_what_is_kept_may_be_all_that_is_asked(pair: Pair) -> None:
    (turn,) = answered(pair, pair.prompt(35, 40))
    prompt = Prompt([*turn.prompt.ids, *turn.answer.ids[:-1]])
    assert len(prompt.ids) == turn.computed
    (again,) = answered(pair, prompt)
    assert again.answer.ids[0] == turn.answer.ids[-1]


def test_a_prompt_of_the_whole_window_waits_for_no_copy(pair: Pair) -> None:
    (turn,) = answered(pair, pair.prompt(36, WINDOW - 50))
    (last,) = answered(pair, turn.then(pair.prompt(37, WINDOW - 9 - turn.computed - 1)))
    assert last.answer.prompt_tokens == WINDOW - 9
    assert last.answer.cached_tokens == turn.computed // BLOCK * BLOCK


def test_many_conversations_in_a_small_cache(pair: Pair) -> None:
    rng = random.Random(0)
    turns = answered(pair, *(pair.prompt(seed, rng.randrange(1, 60)) for seed in range(40, 46)))
    found = []
    for round_ in range(4):
        going_on = rng.sample(turns, 4)
        questions = [pair.prompt(100 + 10 * round_ + n, rng.randrange(1, 12)) for n in range(4)]
        prompts = [turn.then(new) for turn, new in zip(going_on, questions, strict=True)]
        answers = answered(pair, *prompts, tokens=rng.randrange(2, 12))
        found += [
            after.answer.cached_tokens - before.computed
            for before, after in zip(going_on, answers, strict=True)
        ]
        turns = [turn for turn in turns if turn not in going_on] + answers
    assert max(found) == 0
    assert min(found) < 0  # Something was driven out, or the cache was not small.


def test_models_that_forget_are_left_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import MistralConfig, MistralForCausalLM
    from vllm import LLM, SamplingParams
    from vllm.distributed import cleanup_dist_env_and_memory

    torch.manual_seed(0)
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    monkeypatch.setattr(torch, "set_num_threads", torch.set_num_threads)  # vLLM replaces it
    config = MistralConfig(
        vocab_size=331, hidden_size=128, intermediate_size=160, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=4, sliding_window=48,
    )  # fmt: skip
    model = MistralForCausalLM(config).eval()
    model.save_pretrained(tmp_path)
    llm = LLM(
        str(tmp_path), skip_tokenizer_init=True, enforce_eager=True, dtype="float32",
        block_size=BLOCK, max_model_len=WINDOW, kv_cache_memory_bytes=2**24,
    )  # fmt: skip
    greedy = SamplingParams(temperature=0, max_tokens=9, ignore_eos=True, detokenize=False)
    ids = [*range(10, 50)]
    for cached in (0, BLOCK):
        (output,) = llm.generate([{"prompt_token_ids": ids}], greedy, use_tqdm=False)
        assert output.num_cached_tokens == cached
        want = model.generate(
            torch.tensor([ids]), do_sample=False, max_new_tokens=9, min_new_tokens=9
        )
        ids += output.outputs[0].token_ids
        assert ids == want[0].tolist()
        ids += [7, 8]
    llm.llm_engine.engine_core.shutdown()
    cleanup_dist_env_and_memory()


def test_on_a_gpu_vllm_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from vllm.platforms import current_platform
    from vllm.v1.core.kv_cache_manager import KVCacheManager

    from kosmosx_stream.engines import vllm_partial_blocks

    own = inspect.unwrap(KVCacheManager.free)
    monkeypatch.setattr(KVCacheManager, "free", own)
    monkeypatch.setattr(current_platform, "is_cpu", lambda: False)
    vllm_partial_blocks.install()
    assert KVCacheManager.free is own
