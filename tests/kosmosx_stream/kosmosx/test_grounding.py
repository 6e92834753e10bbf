"""The grounding parser against Transformers' post-processing of whole outputs."""

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.kosmos2.processing_kosmos2 import (
    Kosmos2Processor,
    clean_text_and_extract_entities_with_bboxes,
)

from conversation.items import Grounding
from kosmosx_stream.kosmosx.grounding import GroundingParser, Piece, Tag, box

# "<" is left out: the reference takes it, in plain text too, for the beginning of a tag.
TEXT = st.text(st.sampled_from("ab é\n\t\u3000\u00a0>/🦊_0"), min_size=1, max_size=4)
CELL = st.integers(0, 1023)
PHRASE = st.tuples(st.just(Tag.PHRASE), TEXT, st.just(Tag.PHRASE_END))
PAIR = st.tuples(CELL, CELL)


def joined(pairs: list[tuple[int, int]]) -> tuple[Piece, ...]:
    pieces: list[Piece] = [Tag.OBJECT]
    for index, pair in enumerate(pairs):
        pieces += [Tag.DELIMITER, *pair] if index else pair
    return (*pieces, Tag.OBJECT_END)


OBJECT = st.lists(PAIR, min_size=1, max_size=3).map(joined)
SOUP = st.lists(
    st.one_of(
        TEXT.map(lambda text: (text,)),
        st.sampled_from(Tag).map(lambda tag: (tag,)),
        CELL.map(lambda cell: (cell,)),
        PHRASE,
        OBJECT,
        st.tuples(PHRASE, OBJECT).map(lambda both: both[0] + both[1]),
    ),
    max_size=14,
).map(lambda groups: [piece for group in groups for piece in group])


def spelled(pieces: list[Piece]) -> str:
    """The pieces as the string a tokenizer decodes them to."""

    def one(piece: Piece) -> str:
        match piece:
            case str():
                return piece
            case Tag():
                return piece.value
            case cell:
                return f"<patch_index_{cell:04d}>"

    return "".join(one(piece) for piece in pieces)


def parse(pieces: list[Piece], cuts: tuple[int, ...] = ()) -> tuple[str, list[Grounding]]:
    """Feed the pieces in the portions that the cuts give; check what users could see meanwhile."""
    parser = GroundingParser()
    bounds = [0, *sorted(cut for cut in cuts if cut < len(pieces)), len(pieces)]
    portions = [pieces[a:b] for a, b in itertools.pairwise(bounds)]
    released = [parser.feed(portion) for portion in portions] + [parser.finish()]
    text = "".join(each.text for each in released)
    return text, [grounding for each in released for grounding in each.grounding]


def reference(pieces: list[Piece]) -> tuple[str, list[Grounding]]:
    """Transformers' answer, with the documented deviations applied and nothing else."""
    text, entities = clean_text_and_extract_entities_with_bboxes(spelled(pieces))
    groundings = []
    for name, (start, end), boxes in entities:
        phrase = re.sub(r"(<patch_index_\d+>){2}", "", name)
        span = (min(start, end), end)  # a phrase of blanks alone ends before it starts
        groundings.append(Grounding(phrase, max(0, span[0]), max(0, span[1]), tuple(boxes)))
    return text, groundings


@settings(deadline=None)
@given(SOUP, st.tuples(*[st.integers(0, 40)] * 6))
def test_any_soup_in_any_portions_equals_the_reference(pieces, cuts):
    assert parse(pieces, cuts) == reference(pieces)


@settings(deadline=None)
@given(SOUP)
def test_one_piece_at_a_time_equals_the_reference(pieces):
    assert parse(pieces, tuple(range(len(pieces)))) == reference(pieces)


@settings(deadline=None)
@given(SOUP, st.data())
def test_cutting_text_itself_changes_nothing(pieces, data):
    cut: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str):
            at = data.draw(st.integers(0, len(piece)))
            cut += [piece[:at], piece[at:]]
        else:
            cut.append(piece)
    assert parse(cut) == parse(pieces)


@settings(deadline=None)
@given(SOUP)
def test_phrases_are_found_at_their_offsets(pieces):
    text, groundings = parse(pieces)
    for grounding in groundings:
        assert text[grounding.start : grounding.end] == grounding.phrase
        assert 0 <= grounding.start <= grounding.end


@settings(deadline=None)
@given(SOUP)
def test_an_answer_after_its_image_equals_post_process_generation(pieces):
    answer = [piece for piece in pieces if piece is not Tag.IMAGE_END]
    processor = object.__new__(Kosmos2Processor)  # its tokenizer plays no part in this method
    processor.eoi_token = Tag.IMAGE_END.value
    whole = [Tag.BOS, Tag.IMAGE, Tag.IMAGE_END, *answer]
    text, entities = processor.post_process_generation(spelled(whole))
    assert parse(whole) == reference(answer)
    assert parse(whole)[0] == text
    assert len(parse(whole)[1]) == len(entities)


@settings(deadline=None)
@given(CELL, CELL)
def test_a_box_is_the_reference_s_to_the_bit(first, last):
    _, [(_, _, [expected])] = clean_text_and_extract_entities_with_bboxes(
        spelled([Tag.OBJECT, first, last, Tag.OBJECT_END])
    )
    assert box(first, last) == expected


def test_the_model_card_s_example_as_it_streams():
    # https://huggingface.co/microsoft/kosmos-2-patch14-224
    parser = GroundingParser()
    assert parser.feed([Tag.GROUNDING, " An image", " of"]).text == "An image of"
    assert parser.feed([Tag.PHRASE, " a", " snowman"]).text == " a snowman"
    assert parser.feed([Tag.PHRASE_END, Tag.OBJECT, 44, 863]).grounding == ()
    [snowman] = parser.feed([Tag.OBJECT_END]).grounding
    assert snowman == Grounding("a snowman", 12, 21, ((0.390625, 0.046875, 0.984375, 0.828125),))
    assert parser.feed([" warming himself."]).text == " warming himself."


def test_blanks_wait_for_what_follows():
    parser = GroundingParser()
    assert parser.feed([" a "]).text == "a"
    assert parser.feed([" b\n"]).text == "  b"
    assert parser.finish().text == ""


def test_several_boxes_belong_to_one_phrase():
    pieces = [Tag.PHRASE, " two cats", Tag.PHRASE_END, *joined([(0, 33), (40, 80)])]
    text, [cats] = parse(pieces)
    assert (text, cats.phrase, len(cats.boxes)) == ("two cats", "two cats", 2)


def test_boxes_without_a_phrase_stand_alone():
    _, groundings = parse([" x", *joined([(0, 33), (40, 80)])])
    assert [(each.phrase, each.start, each.end) for each in groundings] == [("", 1, 1)] * 2


@pytest.mark.parametrize(
    "pieces",
    [
        [Tag.PHRASE, "a", Tag.PHRASE_END, " ", Tag.OBJECT, 1, Tag.OBJECT_END],
        [Tag.OBJECT, 1, 2, 3, Tag.OBJECT_END],
        [Tag.OBJECT, 1, 2, Tag.DELIMITER, Tag.OBJECT_END],
        [Tag.OBJECT, Tag.OBJECT_END],
        [Tag.OBJECT, 1, 2],
        [Tag.PHRASE, "a", Tag.PHRASE_END],
    ],
)
def test_a_malformed_object_gives_no_box(pieces):
    assert parse(pieces)[1] == reference(pieces)[1] == []


def test_text_that_spells_a_tag_is_text():
    text, groundings = parse(["<phrase>a</phrase><object>", 1, 2, "</object> 1 < 2 > 0"])
    assert (text, groundings) == ("<phrase>a</phrase><object></object> 1 < 2 > 0", [])
