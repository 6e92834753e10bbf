"""A request whose place was taken reads its pictures again, though they were found in the cache."""

# ruff: noqa: PLC0415  # importing vLLM takes seconds; collecting the tests should not

from collections.abc import Iterator

import pytest

from tests.kosmosx_stream.kosmosx import tiny_checkpoint as tiny
from tests.kosmosx_stream.kosmosx.pair import Pair, picture

pytestmark = pytest.mark.filterwarnings("default")  # torch's and vLLM's own deprecations
TOKENS = 9


@pytest.fixture
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tiny.write(tiny.Shape(tied=True, vocab_size=331), tmp_path_factory.mktemp("tied"))
    pair = Pair(folder, max_model_len=256)
    yield pair
    pair.close()


def test_a_picture_from_the_cache_is_read_again(pair: Pair) -> None:
    from vllm import SamplingParams

    prompt = pair.prompt(1, 5, picture(1), 40)
    pair.assert_equal([prompt], TOKENS)
    engine = pair.llm.llm_engine
    engine.add_request(
        "again",
        {"prompt_token_ids": prompt.ids, "multi_modal_data": {"image": list(prompt.images)}},
        SamplingParams(temperature=0, max_tokens=TOKENS, ignore_eos=True, detokenize=False),
    )
    engine.step()
    assert engine.reset_prefix_cache(reset_running_requests=True)
    engine.reset_encoder_cache()
    outputs = []
    while engine.has_unfinished_requests():
        outputs += engine.step()
    assert outputs[-1].num_cached_tokens > 0
    assert list(outputs[-1].outputs[0].token_ids) == pair.reference.greedy(prompt, TOKENS).ids
