"""Answers of other models: every character whole, and nothing lost."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from kosmosx_stream.formats.chat_template.decoder import (
    BytesDecoder,
    WindowDecoder,
    decoders_of,
)
from tests.kosmosx_stream.formats.chat_template import tiny_chat_model as tiny

INCOMPLETE = "\N{REPLACEMENT CHARACTER}"


def _gemma(*strip):
    """Real Gemma's keeps all blanks."""
    tokenizer = tiny.tokenizer_of("gemma")
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    tokenizer.decoder = decoders.Sequence(steps)
    return tokenizer


def _words(decoder, *pieces):
    """A tokenizer whose tokens are written by what stands beside them."""
    vocabulary = {each: number for number, each in enumerate(("[UNK]", *pieces))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.decoder = decoder
    tokenizer.add_special_tokens(["[UNK]", "[SEP]"])
    return tokenizer


BYTES = {family: tiny.tokenizer_of(family) for family in ("chatml", "phi", "gemma")}
BYTES["gemma, blanks kept"] = _gemma()
FALLBACK = ("gemma", "gemma, blanks kept")
WINDOW = {
    "metaspace": _words(decoders.Metaspace(), "▁", "▁a", "b", "▁▁c▁", "é"),
    "wordpiece": _words(decoders.WordPiece(), "a", "##b", ".", "'", "##s", "é"),
    "no decoder": _words(None, "a", "b"),
    "gemma, two blanks stripped": _gemma(decoders.Strip(" ", 2, 0)),
}
EVERY = BYTES | WINDOW

of_bytes = pytest.mark.parametrize("kind", BYTES)
of_every = pytest.mark.parametrize("kind", EVERY)


def _portions(decoder, ids, bounds):
    """What the ids say, portion by portion, and at the end."""
    return [decoder.feed(ids[a:b]).text for a, b in pairwise(bounds)] + [decoder.finish().text]


def _whole(decoder, ids):
    return "".join(_portions(decoder, ids, (0, len(ids))))


def _soup(tokenizer):
    """Any ids: text, specials, bytes, and some that pad the embedding matrix."""
    return st.lists(st.integers(0, tokenizer.get_vocab_size() + 5), max_size=40)


def _text_and_runs(tokenizer):
    """Any ids, where each run of byte tokens is text or has nothing in it that is."""
    of_bytes = [tokenizer.token_to_id(f"<0x{byte:02X}>") for byte in range(256)]
    others = sorted({*range(tokenizer.get_vocab_size() + 5)} - {*of_bytes})
    sound = st.text("a\n é中🦊\ufffd", max_size=3).map(str.encode)
    stray = st.lists(st.sampled_from(b"\x80\x9f\xbf\xc3\xe4\xf0\xff"), max_size=5).map(bytes)
    broken = stray.filter(lambda run: not run.decode("utf-8", "ignore"))
    run = (sound | broken).map(lambda run: [of_bytes[byte] for byte in run])
    text = st.lists(st.sampled_from(others), max_size=3).map(
        [tokenizer.token_to_id("▁the")].__add__
    )
    return st.tuples(st.lists(st.tuples(run, text), max_size=5), run).map(
        lambda drawn: [*(each for pair in drawn[0] for part in pair for each in part), *drawn[1]]
    )


TEXT_AND_RUNS = {kind: _text_and_runs(BYTES[kind]) for kind in FALLBACK}


@of_bytes
@given(text=st.text(st.sampled_from("ab é\n🦊e\u200d中 "), max_size=20))
@settings(deadline=None)
def test_a_text_comes_out_as_it_went_in(kind, text):
    tokenizer = BYTES[kind]
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    shown = _portions(decoders_of(tokenizer)(), ids, range(len(ids) + 1))
    assert not any(INCOMPLETE in each for each in shown)
    assert "".join(shown) == tokenizer.decode(ids)


@pytest.mark.parametrize("kind", ["chatml", "phi"])
@given(data=st.data())
@settings(deadline=None)
def test_any_ids_of_byte_level_say_what_the_tokenizer_says(kind, data):
    tokenizer = BYTES[kind]
    ids = data.draw(_soup(tokenizer))
    said = _whole(decoders_of(tokenizer)(), ids)
    assert said == tokenizer.decode(ids) == _whole(WindowDecoder(tokenizer), ids)


@pytest.mark.parametrize("kind", FALLBACK)
@given(data=st.data())
@settings(deadline=None)
def test_any_ids_with_byte_fallback_say_what_the_tokenizer_says(kind, data):
    tokenizer = BYTES[kind]
    ids = data.draw(TEXT_AND_RUNS[kind])
    said = _whole(decoders_of(tokenizer)(), ids)
    assert said == tokenizer.decode(ids) == _whole(WindowDecoder(tokenizer), ids)


@of_every
@given(data=st.data(), cuts=st.lists(st.integers(0, 40), max_size=4))
@settings(deadline=None)
def test_what_is_shown_hangs_on_the_ids_and_not_on_their_portions(kind, data, cuts):
    tokenizer = EVERY[kind]
    ids = data.draw(_soup(tokenizer))
    bounds = [0, *sorted(cut for cut in cuts if cut < len(ids)), len(ids)]
    make = decoders_of(tokenizer)
    one_by_one = _portions(make(), ids, range(len(ids) + 1))
    portions = _portions(make(), ids, bounds)
    for at, bound in enumerate(bounds[1:], start=1):
        assert "".join(portions[:at]) == "".join(one_by_one[:bound])
    assert portions[-1] == one_by_one[-1]


@of_bytes
def test_a_character_is_held_back_until_it_is_whole(kind):
    tokenizer = BYTES[kind]
    ids = tokenizer.encode("a🦊", add_special_tokens=False).ids
    shown = _portions(decoders_of(tokenizer)(), ids, range(len(ids) + 1))
    assert "".join(shown).strip() == "a🦊"
    assert shown[-2:] == ["🦊", ""]
    cut = _portions(decoders_of(tokenizer)(), ids[:-1], (0, len(ids) - 1))
    assert cut[0].strip() == "a"
    assert cut[1] == tokenizer.decode(ids[:-1]).removeprefix(cut[0])
    assert set(cut[1]) == {INCOMPLETE}


@pytest.mark.parametrize("kind", FALLBACK)
def test_a_broken_byte_takes_no_character_with_it(kind):
    tokenizer = BYTES[kind]
    ids = [tokenizer.token_to_id(f"<0x{byte:02X}>") for byte in b"\xff\xf0\x9f" + "中".encode()]
    assert _whole(decoders_of(tokenizer)(), ids) == INCOMPLETE * 3 + "中"


@of_bytes
def test_control_tokens_are_not_shown(kind):
    tokenizer = BYTES[kind]
    family = kind.partition(",")[0]
    ids = [*tokenizer.encode("a", add_special_tokens=False).ids, *tiny.ends_of(family, tokenizer)]
    assert _whole(decoders_of(tokenizer)(), ids).strip() == "a"


@of_every
def test_only_tokens_that_are_bytes_are_looked_up(kind):
    assert isinstance(decoders_of(EVERY[kind])(), BytesDecoder if kind in BYTES else WindowDecoder)
