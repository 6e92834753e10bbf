"""Every answer that a grammar allows can be told in a model's tokens, blank for blank."""

import json

import numpy as np
import pytest
from llguidance import LLMatcher, LLTokenizer
from tokenizers import Tokenizer

from kosmosx_stream.engines.guide_tokens import readable
from kosmosx_stream.formats import grammar
from kosmosx_stream.settings import NANO_CHECKPOINT
from tests.kosmosx_stream.kosmosx import published_checkpoint

PLACES = ["the picture", "a red ball", " at ", "two  blanks"]
SCHEMA = {"type": "object", "properties": {"in": {"enum": PLACES}}, "required": ["in"]}
HELD = grammar.of_answer(functions={}, required=False, most=1, text=SCHEMA)


@pytest.fixture(scope="module", params=["nano", "published"])
def tokenizer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Tokenizer:
    if request.param == "nano":
        return Tokenizer.from_file(str(NANO_CHECKPOINT / "tokenizer.json"))
    return published_checkpoint.tokenizer_in(tmp_path_factory.mktemp("published"))


@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_allowed_is_what_the_grammar_says(tokenizer: Tokenizer, seed: int) -> None:
    """Tokens by chance among those allowed come to an end, and to one of the places."""
    rng = np.random.default_rng(seed)
    end = tokenizer.token_to_id("</s>")
    tokens = LLTokenizer(readable(tokenizer.to_str()), eos_token=[end])
    matcher = LLMatcher(tokens, HELD, log_level=0)
    said: list[int] = []
    while not matcher.is_stopped():
        words = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
        allowed = np.nonzero(np.unpackbits(words, bitorder="little")[: tokens.vocab_size])[0]
        said.append(int(rng.choice(allowed)))
        matcher.consume_tokens(said[-1:])
        assert not matcher.is_error(), matcher.get_error()
    text = tokens.decode_str([each for each in said if each != end])
    assert json.loads(text)["in"] in PLACES


def test_other_tokenizers_stay_as_they_are() -> None:
    spec = {"decoder": {"type": "ByteLevel"}, "pre_tokenizer": {"type": "ByteLevel"}}
    assert readable(json.dumps(spec)) == json.dumps(spec)
