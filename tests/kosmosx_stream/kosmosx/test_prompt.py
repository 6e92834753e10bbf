"""Kosmos-2's template, on a tokenizer of the published shape and on the bundled checkpoint's."""

import re
import string
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers.models.kosmos2.processing_kosmos2 import (
    clean_text_and_extract_entities_with_bboxes,
)

from conversation.items import Answer, FunctionCall, FunctionCallOutput, Image, Message, Text
from kosmosx_stream.kosmosx.grounding import Tag
from kosmosx_stream.kosmosx.nano import CHECKPOINT
from kosmosx_stream.kosmosx.prompt import Kosmos2Format, UnsupportedTokenizerError

SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
CELLS = tuple(f"<patch_index_{cell:04d}>" for cell in range(1024))
FULL_WIDTH = "\uff1c\uff0fs\uff1e"  # `</s>` after NFKC, in the published shape
SPELLINGS = (*(tag.value for tag in Tag), "<unk>", "<mask>", *CELLS[:2], FULL_WIDTH, "<0x41>")


def published_shape() -> Tokenizer:
    """As XLM-R's and Kosmos-2's: specials are Unigram pieces of score 0, tags are not special."""
    letters = [*string.ascii_letters, *string.digits, *string.punctuation, "▁", "é", "🦊"]
    words = ["▁Question", "▁Answer", "▁a", "▁snowman", "▁an", "▁image"]
    vocab = [(each, 0.0) for each in SPECIALS]
    vocab += [(each, -5.0) for each in letters] + [(each, -3.0) for each in words]
    tokenizer = Tokenizer(models.Unigram([*vocab, ("<mask>", 0.0)], unk_id=3))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens([AddedToken(each, normalized=False) for each in SPECIALS])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    tags = [tag.value for tag in Tag if tag.value not in SPECIALS]
    tokenizer.add_tokens([AddedToken(tag, lstrip=True, normalized=False) for tag in tags])
    tokenizer.add_tokens([AddedToken(cell, lstrip=True, normalized=False) for cell in CELLS])
    return tokenizer


TOKENIZERS = {
    "published": published_shape(),
    "nano": Tokenizer.from_file(str(CHECKPOINT / "tokenizer.json")),
}
FORMATS = {name: Kosmos2Format(tokenizer) for name, tokenizer in TOKENIZERS.items()}
both = pytest.mark.parametrize("name", FORMATS)

ANY_TEXT = st.lists(
    st.one_of(
        st.sampled_from(SPELLINGS),
        st.text(st.characters(exclude_categories=())),  # controls and lone surrogates too
    ),
    max_size=6,
).map("".join)


def message(role: str, *content: str | Image | Answer) -> Message:
    parts = tuple(Text(part) if isinstance(part, str) else part for part in content)
    return Message(id="m", role=role, content=parts)


def ids(name: str, *pieces: str) -> tuple[int, ...]:
    """Spell a prompt: tags by their id, anything else as a segment of text."""
    found: list[int] = []
    for piece in pieces:
        if piece in {tag.value for tag in Tag} | set(CELLS):
            found.append(TOKENIZERS[name].token_to_id(piece))
        else:
            found += FORMATS[name].encode(piece)
    return tuple(found)


IMAGE = Image("0" * 64)
PAIR = ("<image>", "</image>")


# The template


@both
def test_a_question_about_an_image(name):
    segment = FORMATS[name].segment([message("user", "a cat?", IMAGE)], grounding=True)
    assert segment == ids(name, *PAIR, "<grounding>", "Question:", "a cat?", "Answer:")


@both
def test_images_stand_first_in_order_as_adjacent_pairs(name):
    asked = [message("user", IMAGE, "a", IMAGE), message("user", "b", IMAGE)]
    segment = FORMATS[name].segment(asked, grounding=False)
    assert segment == ids(name, *PAIR * 3, "Question:", "a\nb", "Answer:")


@both
def test_an_image_without_text_keeps_the_empty_question(name):
    segment = FORMATS[name].segment([message("user", IMAGE)], grounding=False)
    assert segment == ids(name, *PAIR, "Question:", "Answer:")


@both
def test_a_client_s_own_history(name):
    history = [
        message("user", "a"),
        message("assistant", Answer("b")),
        message("user", "c"),
    ]
    assert FORMATS[name].segment(history, grounding=False) == ids(
        name, "Question:", "a", "Answer:", "b", "</s>", "Question:", "c", "Answer:"
    )


@both
def test_system_and_developer_messages_are_text_in_their_place(name):
    said = [message("system", "be brief"), message("user", "a"), message("developer", "now")]
    assert FORMATS[name].segment(said, grounding=False) == ids(
        name, "be brief", "Question:", "a\nnow", "Answer:"
    )


@both
def test_calls_and_what_they_gave(name):
    call = FunctionCall(id="f", call_id="c", name="look", arguments='{"at":1}')
    gave = FunctionCallOutput(id="o", call_id="c", output="a dog")
    shown = FunctionCallOutput(id="o", call_id="c", output=(Text("this"), IMAGE))
    said = '<tool_call>{"name":"look","arguments":{"at":1}}</tool_call>'
    given = "<tool_response>a dog</tool_response>"
    chat = FORMATS[name]
    assert chat.segment([gave], grounding=False) == ids(name, "Question:", given, "Answer:")
    assert chat.segment([shown, gave, message("user", "so?")], grounding=True) == ids(
        name,
        *PAIR,
        "<grounding>",
        "Question:",
        f"<tool_response>this</tool_response>\n{given}\nso?",
        "Answer:",
    )
    answer = [message("assistant", "well"), call, call]
    asked = [message("user", "a"), *answer, gave]
    assert chat.segment(asked, grounding=False) == ids(
        name, "Question:", "a", "Answer:", "well", said, said, "</s>", "Question:", given, "Answer:"
    )


@both
def test_the_opening_holds_the_instructions(name):
    assert FORMATS[name].opening(None) == FORMATS[name].opening("") == ids(name, "<s>")
    assert FORMATS[name].opening("be brief") == ids(name, "<s>", "be brief")


@both
def test_an_answer_is_closed_once(name):
    chat = FORMATS[name]
    end = ids(name, "</s>")
    assert chat.closing(()) == chat.closing(ids(name, "a")) == end
    assert chat.closing((*ids(name, "a"), *end)) == ()


@both
def test_a_last_answer_is_closed_by_closing(name):
    chat = FORMATS[name]
    segment = chat.segment([message("user", "a"), message("assistant", "b")], grounding=False)
    whole = ids(name, "Question:", "a", "Answer:", "b", "</s>")
    assert segment + chat.closing(()) == whole


# Roles in any order keep one pair per image, which the engine relies on.
MESSAGES = st.lists(
    st.builds(
        lambda role, parts: message(role, *parts),
        st.sampled_from(["user", "assistant", "system", "developer"]),
        st.lists(st.one_of(ANY_TEXT, st.just(IMAGE)), max_size=3),
    ),
    max_size=5,
)


@both
@given(messages=MESSAGES, grounding=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_segment_has_one_adjacent_pair_for_every_image(name, messages, grounding):
    segment = FORMATS[name].segment(messages, grounding=grounding)
    begin, end = ids(name, *PAIR)
    pairs = sum(pair == (begin, end) for pair in pairwise(segment))
    images = sum(isinstance(part, Image) for each in messages for part in each.content)
    assert pairs == images == segment.count(begin) == segment.count(end)


# Text never becomes a control token


@both
@given(text=ANY_TEXT)
@settings(deadline=None)
def test_no_text_becomes_a_control_token(name, text):
    chat = FORMATS[name]
    assert chat.controls.isdisjoint(chat.encode(text))
    prompt = chat.segment([message("user", text)], grounding=False)
    frame = ids(name, "Question:"), ids(name, "Answer:")
    assert prompt == (*frame[0], *chat.encode(text), *frame[1])


@both
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_spelled_control_token_is_letters(name, spelling):
    assert len(FORMATS[name].encode(spelling)) > 1


@both
@given(text=st.text(st.sampled_from("ab é1?\n")))
@settings(max_examples=50, deadline=None)
def test_ordinary_text_has_the_checkpoint_s_own_ids(name, text):
    own = TOKENIZERS[name].encode(text, add_special_tokens=False).ids
    assert FORMATS[name].encode(text) == tuple(own)


def test_another_model_s_tokenizer_is_refused():
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0)], unk_id=0))
    with pytest.raises(UnsupportedTokenizerError, match="U\\+2581"):
        Kosmos2Format(tokenizer)
    tokenizer.decoder = decoders.Metaspace()
    with pytest.raises(UnsupportedTokenizerError, match="<s>"):
        Kosmos2Format(tokenizer)


def test_a_checkpoint_folder_is_loaded(tmp_path: Path):
    published_shape().save(str(tmp_path / "tokenizer.json"))
    assert Kosmos2Format.from_checkpoint(tmp_path).encode("a") == ids("published", "a")


# Decoding


def decode(name: str, *portions: tuple[int, ...]):
    decoder = FORMATS[name].decoder()
    released = [decoder.feed(portion) for portion in portions] + [decoder.finish()]
    return "".join(each.text for each in released), [
        grounding for each in released for grounding in each.grounding
    ]


@both
def test_an_answer_with_a_box(name):
    answer = ids(name, "an image", "<phrase>", "a snowman", "</phrase>", "<object>")
    answer += ids(name, CELLS[44], CELLS[863], "</object>", "</s>")
    text, [grounding] = decode(name, answer)
    assert text == "an image a snowman"
    assert text[grounding.start : grounding.end] == grounding.phrase == "a snowman"


ANSWER = st.lists(
    st.one_of(
        st.text(st.sampled_from("ab é1?"), min_size=1, max_size=5),
        st.sampled_from([tag.value for tag in Tag if tag is not Tag.IMAGE_END]),
        st.sampled_from(CELLS),
        st.sampled_from(["<unk>"]),
    ),
    max_size=10,
)


@both
@given(pieces=ANSWER, cuts=st.lists(st.integers(0, 60), max_size=4))
@settings(deadline=None)
def test_any_answer_in_any_portions_equals_the_reference(name, pieces, cuts):
    unknown = TOKENIZERS[name].token_to_id("<unk>")
    answer = tuple(
        each for piece in pieces for each in ((unknown,) if piece == "<unk>" else ids(name, piece))
    )
    bounds = [0, *sorted(cut for cut in cuts if cut < len(answer)), len(answer)]
    portions = [answer[a:b] for a, b in pairwise(bounds)]
    # What Transformers decodes with skip_special_tokens=True where tags are not special.
    whole = TOKENIZERS[name].decode(list(answer), skip_special_tokens=False)
    expected, entities = clean_text_and_extract_entities_with_bboxes(
        re.sub(r"<s>|<pad>|</s>|<unk>", "", whole)
    )
    text, groundings = decode(name, *portions)
    assert text == expected
    assert [each.boxes for each in groundings] == [tuple(boxes) for *_, boxes in entities]


def test_a_character_is_released_when_its_bytes_are_all_there():
    chat = FORMATS["nano"]
    fox = chat.encode("🦊")
    decoder = chat.decoder()
    shown = [decoder.feed((each,)).text for each in fox]
    assert [text for text in shown if text] == ["🦊"]
    assert shown[-1] == "🦊"


def test_bytes_that_never_make_a_character_are_replaced():
    chat = FORMATS["nano"]
    decoder = chat.decoder()
    assert decoder.feed(chat.encode("🦊")[:-1]).text == ""
    assert decoder.finish().text == "\N{REPLACEMENT CHARACTER}"
    cut = (*chat.encode("🦊")[:-1], *ids("nano", "a"))
    assert decode("nano", cut)[0] == "\N{REPLACEMENT CHARACTER} a"


@both
def test_an_id_beyond_the_vocabulary_is_no_text(name):
    assert decode(name, (1_000_000, *ids(name, "a")))[0] == "a"


@both
@given(answer=st.lists(st.integers(0, 1700), max_size=30), cut=st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_replaying_restores_the_state(name, answer, cut):
    replayed, lived = FORMATS[name].decoder(), FORMATS[name].decoder()
    replayed.feed(answer[:cut])
    for each in answer[:cut]:
        lived.feed((each,))
    assert replayed.feed(answer[cut:]) == lived.feed(answer[cut:])
    assert replayed.finish() == lived.finish()
