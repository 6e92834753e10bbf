"""Calls told from words, however the text is cut into portions."""

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kosmosx_stream.formats.call_reader import (
    CALL,
    Arguments,
    CallBegins,
    CallEnds,
    CallReader,
    Piece,
    Words,
    said_call,
)

NAMES = st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True)
# What could mislead a reader: signs of JSON and of the convention, within strings too.
TEXTS = st.text(st.sampled_from('{}[]",:\\ <>/tool_calAé\n')) | st.just(CALL)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
CALLS = st.lists(st.tuples(NAMES, st.dictionaries(TEXTS, VALUES, max_size=3)), max_size=3)
WORDS = st.text(max_size=20).filter(lambda text: "<" not in text)


def cut(text: str, at: Iterable[int]) -> list[str]:
    places = [0, *sorted({place % (len(text) + 1) for place in at}), len(text)]
    return [text[i:j] for i, j in pairwise(places)]


def read(portions: Sequence[str]) -> list[Piece]:
    reader = CallReader()
    pieces = [piece for portion in portions for piece in reader.feed(portion)]
    return [*pieces, *reader.finish()]


def joined(pieces: Sequence[Piece]) -> list[Any]:
    """Neighbouring words, and neighbouring arguments, put together."""
    whole: list[Any] = []
    for piece in pieces:
        last = whole[-1] if whole else None
        if isinstance(piece, Words | Arguments) and type(last) is type(piece):
            whole[-1] = type(piece)(last.text + piece.text)
        else:
            whole.append(piece)
    return whole


@given(WORDS, CALLS, st.lists(st.integers(0, 10_000), max_size=30))
def test_words_then_calls(words: str, calls: list[Any], places: list[int]) -> None:
    arguments = [json.dumps(values, separators=(",", ":")) for _, values in calls]
    said = [said_call(name, text) for (name, _), text in zip(calls, arguments, strict=True)]
    expected: list[Piece] = []
    if shown := words.rstrip() if calls else words:
        expected.append(Words(shown))
    for (name, _), text in zip(calls, arguments, strict=True):
        expected += [CallBegins(name), Arguments(text), CallEnds()]
    assert joined(read(cut(words + "".join(said), places))) == expected


@given(st.text(st.sampled_from(f'{CALL}"name":,arguments{{}}\\ xé'), max_size=80) | TEXTS,
       st.lists(st.integers(0, 200), max_size=30))  # fmt: skip
def test_any_text_reads_the_same_in_any_portions(text: str, places: list[int]) -> None:
    assert joined(read(cut(text, places))) == joined(read([text]))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a <b", "a <b"),
        ("if a <tool", "if a <tool"),
        ("a  ", "a  "),
        (f"well \n{CALL}", "well"),
        (f"  {CALL}", ""),
        ("", ""),
    ],
)
def test_words_at_the_end(text: str, shown: str) -> None:
    assert "".join(p.text for p in read(list(text)) if isinstance(p, Words)) == shown


def test_words_are_not_kept_waiting() -> None:
    reader = CallReader()
    assert list(reader.feed("Hello <")) == [Words("Hello")]
    assert list(reader.feed("tool ")) == [Words(" <tool")]


def test_arguments_are_not_kept_waiting() -> None:
    reader = CallReader()
    assert list(reader.feed(f'{CALL}{{"name":"f"')) == []
    assert list(reader.feed(',"arguments":{"a":')) == [CallBegins("f"), Arguments('{"a":')]
    assert list(reader.feed('"}')) == [Arguments('"}')]
    assert list(reader.feed('"}}</tool_call>')) == [Arguments('"}'), CallEnds()]
