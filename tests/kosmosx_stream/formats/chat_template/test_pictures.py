"""Pictures in other models' words: as their own template and tokenizer write them."""

import json
from collections.abc import Sequence
from functools import cache, partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversation.items import Answer, Image, Message, Role, Text
from kosmosx_stream.formats.chat_template.checkpoint import read
from kosmosx_stream.formats.chat_template.format import TemplateFormat
from tests.kosmosx_stream.formats.chat_template import families, tiny_chat_model
from tests.kosmosx_stream.formats.chat_template import tiny_vision_model as tiny

every = pytest.mark.parametrize("family", tiny.TEMPLATES)
PLACEHOLDER = tiny.tokenizer().token_to_id(tiny.IMAGE)
ENDS = [tiny.tokenizer().token_to_id(each) for each in tiny.ENDS]
PICTURE = Image("0" * 64, "auto")


@cache
def chat_of(family: str) -> TemplateFormat:
    return TemplateFormat(*read(families.written(tiny.write_tokenizer, family)), ENDS, PLACEHOLDER)


theirs = partial(families.theirs, tiny.write_tokenizer)


Said = tuple[Role, str, int]
"""Who says what, with how many pictures before it."""


def rendered(family: str, said: list[Said]) -> tuple[int, ...]:
    """What transformers makes of a conversation."""
    messages = [
        {
            "role": role,
            "content": [{"type": "image"}] * pictures + [{"type": "text", "text": words}],
        }
        for role, words, pictures in said
    ]
    ids = theirs(family).apply_chat_template(
        messages, return_dict=False, add_generation_prompt=True
    )
    return tuple(ids)


def messages(said: list[Said]) -> list[Message]:
    return [
        Message(
            id="m",
            role=role,
            content=(
                *[PICTURE] * pictures,
                Answer(words) if role == "assistant" else Text(words),
            ),
        )
        for role, words, pictures in said
    ]


WORDS = st.text(st.sampled_from("ab é1?\n.<>|e '"), max_size=12)
ASKED = st.tuples(WORDS, st.integers(0, 3))


@every
@given(exchanges=st.lists(st.tuples(ASKED, WORDS), max_size=3), last=ASKED)
@settings(max_examples=40, deadline=None)
def test_pictures_have_the_template_s_ids(family, exchanges, last):
    chat = chat_of(family)
    said: list[Said] = [
        each for asked, told in exchanges for each in (("user", *asked), ("assistant", told, 0))
    ]
    said.append(("user", *last))
    mine = chat.opening(None) + chat.segment(messages(said), grounding=False)
    assert mine == rendered(family, said)
    assert mine.count(PLACEHOLDER) == sum(pictures for *_, pictures in said)


@every
def test_a_turn_s_prompt_begins_with_the_turn_before(family):
    chat = chat_of(family)
    assert chat.sees
    answer = (*theirs(family).encode("it is", add_special_tokens=False), ENDS[0])
    first = chat.opening("be brief") + chat.segment(messages([("user", "a", 2)]), grounding=False)
    added = chat.closing(answer) + chat.segment(messages([("user", "b", 1)]), grounding=False)
    wanted: list[Said] = [("system", "be brief", 0), ("user", "a", 2), ("assistant", "it is", 0)]
    assert first == rendered(family, wanted[:2])
    if family == "llava":  # its template ends no answer, its model does
        answer = answer[:-1]
    second = rendered(family, [*wanted, ("user", "b", 1)])
    # A template may have a blank where an answer begins that it has not where one is asked for.
    assert blankless(first + answer + added) == blankless(second)


def blankless(ids: Sequence[int]) -> str:
    text: str = tiny.tokenizer().decode(list(ids), skip_special_tokens=False)
    return "".join(text.split())


@every
def test_words_never_become_a_picture(family):
    said = messages([("user", f"{tiny.IMAGE} or <image", 1)])
    assert chat_of(family).segment(said, grounding=False).count(PLACEHOLDER) == 1


def test_a_picture_of_whoever_stands_before_the_words():
    (asked, told) = (("user", "a", 1), ("system", "look", 1))
    ids = chat_of("qwen").segment(messages([asked, told]), grounding=False)
    assert ids.count(PLACEHOLDER) == 2


@pytest.mark.parametrize(
    "each",
    [
        "<image>{{ loop.index0 }}",  # numbered
        "<|vision_start|>",  # not what the model takes for a picture
        "",  # none
    ],
)
def test_a_template_without_simple_pictures_is_used_without(each, tmp_path):
    folder = tiny.write_tokenizer("qwen", tmp_path)
    file = folder / "chat_template.jinja"
    file.write_text(file.read_text().replace("<|vision_start|><image><|vision_end|>", each))
    assert not TemplateFormat(*read(folder), ENDS, PLACEHOLDER).sees


def test_a_template_of_text_alone_is_used_without(tmp_path):
    folder = tiny_chat_model.write_tokenizer("chatml", tmp_path)
    ends = tiny_chat_model.ends_of("chatml", tiny_chat_model.tokenizer_of("chatml"))
    chat = TemplateFormat(*read(folder), ends, placeholder=1)
    assert not chat.sees


def test_the_template_beside_the_tokenizer_s_is_the_one_for_pictures(tmp_path):
    folder = tiny.write_tokenizer("qwen", tmp_path)
    (folder / "chat_template.json").write_text(
        json.dumps({"chat_template": tiny.TEMPLATES["llava"]})
    )
    ids = TemplateFormat(*read(folder), ENDS, PLACEHOLDER).segment(
        messages([("user", "hi", 1)]), grounding=False
    )
    assert tiny.tokenizer().decode(list(ids), skip_special_tokens=False).startswith("USER: ")
