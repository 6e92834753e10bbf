"""How nano's questions are worded: what it is measured on is nothing that it was trained on."""

import json
import re

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from kosmosx_stream.formats.call_reader import Arguments, CallBegins, CallReader
from kosmosx_stream.kosmosx.nano import held_out, smalltalk, tools
from kosmosx_stream.kosmosx.nano.questions import ASKING
from kosmosx_stream.kosmosx.nano.wording import pick, wordings


def bare(text: str) -> str:
    """Without case, stops and blanks at the ends, as training varies them."""
    return re.sub(r"[^a-z0-9{}' ]", "", text.lower()).strip()


def test_a_pattern_has_every_wording():
    assert list(wordings("[|Please ]count the {}[| now].")) == [
        "Count the {}.",
        "Count the {} now.",
        "Please count the {}.",
        "Please count the {} now.",
    ]
    assert list(wordings("plain: left as it is")) == ["Plain: left as it is"]


def test_picking_takes_one_of_the_wordings():
    rng = np.random.default_rng(0)
    picked = {pick(["[a|b] c?", "d"], rng) for _ in range(60)}
    assert picked == {"A c?", "B c?", "d"}


def test_no_pattern_has_a_phrasing_that_is_held_out():
    talk = [pattern for each in smalltalk.TALK.values() for pattern in each.questions]
    trained = {
        bare(wording)
        for pattern in (*talk, *smalltalk.OTHER, *smalltalk.ABOUT_PICTURE)
        for wording in wordings(pattern)
    }
    held = {bare(text) for text, _ in (*held_out.PHRASINGS, *held_out.LATER_PHRASINGS)}
    assert held & trained == set()


@pytest.mark.parametrize("kind", held_out.ASKED)
def test_no_question_about_a_picture_that_is_held_out_is_a_pattern(kind):
    trained = {bare(wording) for pattern in ASKING[kind] for wording in wordings(pattern)}
    assert not {bare(text) for text in held_out.ASKED[kind]} & trained


def test_no_name_that_is_held_out_is_trained():
    assert not set(held_out.NAMES) & set(smalltalk.NAMES)
    assert not tools.HELD_OUT.keys() & tools.FUNCTIONS.keys()


@pytest.mark.parametrize("seed", range(20))
def test_a_call_is_one_that_the_server_reads_and_the_schema_allows(seed):
    rng = np.random.default_rng(seed)
    (offered, *_) = tools.offer(rng)
    called = tools.ask_for(offered, rng)
    begins, *pieces = CallReader().feed(called.call)
    assert begins == CallBegins(offered.function.name)
    arguments = json.loads("".join(each.text for each in pieces if isinstance(each, Arguments)))
    Draft202012Validator(dict(offered.function.parameters)).validate(arguments)
    assert arguments.keys() == set(offered.parameters.values())
    assert tools.fits([offered], called.question)
