"""Other models' words: what their own template and tokenizer make of it, turn by turn."""

from functools import cache, partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversation.items import Answer, FunctionCall, FunctionCallOutput, Message, Role, Text
from kosmosx_stream.formats.call_reader import said_call
from kosmosx_stream.formats.chat_template.blocks import UnsupportedTemplateError
from kosmosx_stream.formats.chat_template.checkpoint import read
from kosmosx_stream.formats.chat_template.format import TemplateFormat
from tests.kosmosx_stream.formats.chat_template import families
from tests.kosmosx_stream.formats.chat_template import tiny_chat_model as tiny

every = pytest.mark.parametrize("family", tiny.TEMPLATES)
ALTERNATING = ("mistral", "gemma")
INSTRUCTED = [each for each in tiny.TEMPLATES if each not in ALTERNATING]
instructed = pytest.mark.parametrize("family", INSTRUCTED)


@cache
def chat_of(family: str) -> TemplateFormat:
    tokenizer, render = read(families.written(tiny.write_tokenizer, family))
    return TemplateFormat(tokenizer, render, tiny.ends_of(family, tokenizer))


theirs = partial(families.theirs, tiny.write_tokenizer)


def rendered(family: str, said: list[tuple[str, str]], **options: Any) -> tuple[int, ...]:
    """What transformers makes of a conversation."""
    messages = [{"role": role, "content": text} for role, text in said]
    options = {"add_generation_prompt": True} | options
    ids = theirs(family).apply_chat_template(messages, return_dict=False, **options)
    # Where the template begins with text, the blank before it is not ours.
    return tuple(ids[1:] if family == "zephyr" and said[0][0] != "system" else ids)


def messages(*said: tuple[Role, str]) -> list[Message]:
    return [
        Message(id="m", role=role, content=((Answer if role == "assistant" else Text)(text),))
        for role, text in said
    ]


PLAIN = st.text(st.sampled_from("ab é1?\n.🦊<>|e '"), max_size=12)
NOT_EMPTY = PLAIN.filter(str.strip)
EXCHANGES = st.lists(st.tuples(NOT_EMPTY, NOT_EMPTY), max_size=3)


@every
@given(exchanges=EXCHANGES, last=PLAIN)
@settings(max_examples=40, deadline=None)
def test_a_conversation_in_the_input_has_the_template_s_ids(family, exchanges, last):
    chat = chat_of(family)
    said: list[tuple[Role, str]] = [
        each for asked, told in exchanges for each in (("user", asked), ("assistant", told))
    ]
    said.append(("user", last))
    mine = chat.opening(None) + chat.segment(messages(*said), grounding=False)
    assert mine == rendered(family, said)


@every
@given(exchanges=EXCHANGES, last=PLAIN)
@settings(max_examples=40, deadline=None)
def test_turns_put_together_have_the_template_s_ids(family, exchanges, last):
    """Answers are tokenised as a model would generate them: on their own."""
    chat = chat_of(family)
    tokenizer = theirs(family)
    prompt, said = chat.opening(None), []
    for asked, told in exchanges:
        spoken = told.strip()
        answer = tuple(tokenizer.encode(spoken, add_special_tokens=False))
        prompt += chat.segment(messages(("user", asked)), grounding=False)
        prompt += answer + chat.closing(answer)
        said += [("user", asked), ("assistant", spoken)]
    prompt += chat.segment(messages(("user", last)), grounding=False)
    wanted = rendered(family, [*said, ("user", last)])
    if family in tiny.SENTENCEPIECE:  # a first word gets its blank, wherever it stands in the whole
        assert tokenizer.decode(prompt).split() == tokenizer.decode(wanted).split()
    else:
        assert prompt == wanted


@instructed
@given(words=NOT_EMPTY, asked=PLAIN)
@settings(max_examples=30, deadline=None)
def test_instructions_are_the_template_s_system_message(family, words, asked):
    chat = chat_of(family)
    mine = chat.opening(words) + chat.segment(messages(("user", asked)), grounding=False)
    assert mine == rendered(family, [("system", words), ("user", asked)])


@instructed
@pytest.mark.parametrize("role", ["system", "developer"])
def test_a_system_message_between_turns_has_its_place(family, role):
    chat = chat_of(family)
    said = [("user", "a"), ("assistant", "b"), (role, "be brief"), ("user", "c")]
    mine = chat.opening(None) + chat.segment(messages(*said), grounding=False)
    assert mine == rendered(family, [("system" if r == role else r, text) for r, text in said])


@pytest.mark.parametrize("family", ALTERNATING)
def test_instructions_without_a_place_are_said_by_the_user(family):
    chat = chat_of(family)
    asked = chat.segment(messages(("user", "be brief")), grounding=False)
    assert chat.opening("be brief") == (chat.opening(None) + asked)[: len(chat.opening("be brief"))]
    assert len(chat.opening("be brief")) > len(chat.opening(None)) + len("be brief") / 2
    system = chat.segment(messages(("system", "be brief"), ("user", "a")), grounding=False)
    assert system == chat.segment(messages(("user", "be brief"), ("user", "a")), grounding=False)


def test_calls_and_what_they_gave_are_said_in_one_message_each():
    chat = chat_of("chatml")
    calls = [FunctionCall(id=name, call_id=name, name=name, arguments="{}") for name in ("f", "g")]
    given = [
        FunctionCallOutput(id=f"{call.id}o", call_id=call.id, output=call.name) for call in calls
    ]
    items = [*messages(("user", "a"), ("assistant", "b")), *calls, *given]
    said = [
        ("user", "a"),
        (
            "assistant",
            f"b\n{said_call('f', '{}')}\n{said_call('g', '{}')}",
        ),
        ("user", "<tool_response>f</tool_response>\n<tool_response>g</tool_response>"),
    ]
    assert chat.segment(items, grounding=False) == chat.segment(messages(*said), grounding=False)


@every
def test_an_answer_is_closed_once(family):
    chat = chat_of(family)
    tokenizer = theirs(family)
    words = tuple(tokenizer.encode("the model", add_special_tokens=False))
    closing = chat.closing(words)
    assert not chat.ended(words)
    assert not chat.ended(())
    for end in tiny.ends_of(family, tokenizer.backend_tokenizer):
        assert chat.ended((*words, end))
        rest = chat.closing((*words, end))
        assert rest in (closing, closing[closing.index(end) + 1 :] if end in closing else closing)
        assert end not in rest


@every
def test_a_last_answer_is_left_open(family):
    chat = chat_of(family)
    said = [("user", "a"), ("assistant", "the model")]
    mine = chat.opening(None) + chat.segment(messages(*said), grounding=False)
    wanted = rendered(family, said, add_generation_prompt=False, continue_final_message=True)
    assert mine == wanted


SPELLED = st.sampled_from(
    sorted(
        {each for family in tiny.SPECIALS.values() for each in family} | {"<tool_call>", "<0x41>"}
    )
)
ANY_TEXT = st.lists(
    st.one_of(SPELLED, st.text(st.characters(exclude_categories=()))), max_size=5
).map("".join)


@every
@given(text=ANY_TEXT, role=st.sampled_from(["user", "assistant", "system", "developer"]))
@settings(max_examples=60, deadline=None)
def test_no_text_becomes_a_control_token(family, text, role):
    chat = chat_of(family)
    frame = chat.segment(messages((role, "")), grounding=False)
    said = chat.segment(messages((role, text)), grounding=False)
    assert controls(chat, said) == controls(chat, frame)
    assert controls(chat, chat.opening(text or "a")) == controls(chat, chat.opening("a"))


def controls(chat: TemplateFormat, ids: tuple[int, ...]) -> list[int]:
    return [each for each in ids if each in chat.controls]


def test_added_words_are_text_and_added_markup_is_not():
    chat = chat_of("chatml")
    vocabulary = theirs("chatml").get_vocab()
    said = chat.segment(messages(("user", "covid   <tool_call>")), grounding=False)
    assert {vocabulary["covid"], vocabulary["   "]} <= {*said} - chat.controls
    assert vocabulary["<tool_call>"] in chat.controls - {*said}


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for m in messages %}{{ m['content'] | upper }}{% endfor %}", "leaves a message out"),
        ("{{ messages | length }}{% for m in messages %}<|im_start|>{{ m['content'] }}{% endfor %}",
         "turn by turn"),
        ("{{ raise_exception('only for images') }}", "only for images"),
        ("{% for m in messages %}{% if loop.last %}{{ m['content'] }}{% endif %}{% endfor %}",
         "leaves a message out"),
    ],
)  # fmt: skip
def test_a_template_that_cannot_be_taken_apart_is_refused(tmp_path, template, reason, monkeypatch):
    monkeypatch.setitem(tiny.TEMPLATES, "chatml", template)
    tokenizer, render = read(tiny.write_tokenizer("chatml", tmp_path))
    with pytest.raises(UnsupportedTemplateError, match=reason):
        TemplateFormat(tokenizer, render, ())


def test_a_model_without_a_template_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(tiny.TEMPLATES, "chatml", None)
    with pytest.raises(UnsupportedTemplateError, match="no chat template"):
        read(tiny.write_tokenizer("chatml", tmp_path))
