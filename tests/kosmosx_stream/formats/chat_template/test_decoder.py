"""Answers of other models: every character whole, and nothing lost."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kosmosx_stream.formats.chat_template.decoder import TextDecoder
from tests.kosmosx_stream.formats.chat_template import tiny_chat_model as tiny

FAMILIES = {family: tiny.tokenizer_of(family) for family in ("chatml", "gemma")}
every = pytest.mark.parametrize("family", FAMILIES)


@every
@given(text=st.text(st.sampled_from("ab é\n🦊e\u200d中 "), max_size=20))
@settings(deadline=None)
def test_a_text_comes_out_as_it_went_in(family, text):
    tokenizer = FAMILIES[family]
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    decoder = TextDecoder(tokenizer)
    shown = [decoder.feed([each]).text for each in ids]
    assert not any("\N{REPLACEMENT CHARACTER}" in each for each in shown)
    assert "".join(shown) + decoder.finish().text == tokenizer.decode(ids)


@every
@given(data=st.data(), cuts=st.lists(st.integers(0, 40), max_size=4))
@settings(deadline=None)
def test_any_ids_in_any_portions_say_the_same(family, data, cuts):
    tokenizer = FAMILIES[family]
    ids = data.draw(st.lists(st.integers(0, tokenizer.get_vocab_size() + 5), max_size=40))
    bounds = [0, *sorted(cut for cut in cuts if cut < len(ids)), len(ids)]
    one, many = TextDecoder(tokenizer), TextDecoder(tokenizer)
    whole = one.feed(ids).text + one.finish().text
    portions = [many.feed(ids[a:b]).text for a, b in pairwise(bounds)]
    assert "".join(portions) + many.finish().text == whole


@every
def test_a_character_is_held_back_until_it_is_whole(family):
    tokenizer = FAMILIES[family]
    ids = tokenizer.encode("a🦊", add_special_tokens=False).ids
    decoder = TextDecoder(tokenizer)
    shown = [decoder.feed([each]).text for each in ids]
    assert "".join(shown) == "a🦊"
    assert shown[-1] == "🦊"
    cut = TextDecoder(tokenizer)
    assert cut.feed(ids[:-1]).text == "a"
    assert set(cut.finish().text) == {"\N{REPLACEMENT CHARACTER}"}


@every
def test_control_tokens_are_not_shown(family):
    tokenizer = FAMILIES[family]
    decoder = TextDecoder(tokenizer)
    ids = [*tokenizer.encode("a", add_special_tokens=False).ids, *tiny.ends_of(family, tokenizer)]
    assert decoder.feed(ids).text + decoder.finish().text == "a"
