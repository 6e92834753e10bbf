"""Text never becomes a control token, on whatever kind of tokenizer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from kosmosx_stream.formats.plain_text import ControlTokenError, PlainText, plain_text_tokenizer

SPELLINGS = ("</s>", "<tag>")


def unigram() -> Tokenizer:
    letters = [(letter, -1.0) for letter in "▁abst</>g"]
    return Tokenizer(models.Unigram([("<unk>", 0.0), ("</s>", 0.0), *letters], unk_id=0))


def bpe() -> Tokenizer:
    """Its merges, and a word taken whole, both lead to `</s>`."""
    pieces = ["<unk>", "</s>", *"▁abst</>g", "</", "s>", "</s"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    merges = [("<", "/"), ("s", ">"), ("</", "s>"), ("</", "s"), ("</s", ">")]
    return Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", ignore_merges=True))


def word_level() -> Tokenizer:
    words = {"<unk>": 0, "</s>": 1, "▁a": 2, "▁b": 3}
    return Tokenizer(models.WordLevel(words, unk_token="<unk>"))


def with_tags(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.add_special_tokens(["</s>"])
    tokenizer.add_tokens([AddedToken("<tag>", lstrip=True, normalized=False)])
    return tokenizer


KINDS = {each.__name__: with_tags(each()) for each in (unigram, bpe, word_level)}
every = pytest.mark.parametrize("kind", KINDS)


def controls(tokenizer: Tokenizer) -> set[int]:
    return {tokenizer.token_to_id(each) for each in SPELLINGS}


@every
@given(text=st.lists(st.sampled_from([*SPELLINGS, " ", "a", "b", "\ud800"])).map("".join))
@settings(max_examples=50, deadline=None)
def test_no_text_becomes_a_control_token(kind, text):
    tokenizer = KINDS[kind]
    plain = PlainText(plain_text_tokenizer(tokenizer), controls(tokenizer))
    assert plain.controls.isdisjoint(plain.encode(text))


def test_encode_special_tokens_alone_would_not_do():
    tokenizer = with_tags(unigram())
    tokenizer.encode_special_tokens = True
    leaked = tokenizer.encode("</s> <tag>", add_special_tokens=False).ids
    assert set(leaked) >= controls(tokenizer)


@every
def test_a_leak_is_refused(kind):
    tokenizer = KINDS[kind]
    with pytest.raises(ControlTokenError):
        PlainText(tokenizer, controls(tokenizer)).encode("</s>")


@every
def test_nothing_is_added_around_text(kind):
    tokenizer = Tokenizer.from_str(KINDS[kind].to_str())
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=64)
    assert len(plain_text_tokenizer(tokenizer).encode("a a a a").ids) >= 4
    assert len(plain_text_tokenizer(tokenizer).encode("a a a a").ids) < 64


@pytest.mark.parametrize("kind", ["bpe", "word_level"])
def test_added_words_are_kept_with_their_ids(kind):
    tokenizer = Tokenizer.from_str(KINDS[kind].to_str())
    tokenizer.add_tokens(["bab", "   "])
    plain = plain_text_tokenizer(tokenizer, kept=("bab", "   "))
    words = [tokenizer.token_to_id(word) for word in ("bab", "   ")]
    assert plain.encode("bab   bab").ids == [words[0], words[1], words[0]]
