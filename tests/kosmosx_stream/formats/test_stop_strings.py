"""Stop strings, against an oracle that has the whole text before it."""

from collections.abc import Sequence
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from conversation.items import Grounding
from kosmosx_stream.formats.chat_format import Released
from kosmosx_stream.formats.stop_strings import StopStrings

BOX = ((0.0, 0.0, 1.0, 1.0),)


class Scripted:
    """A decoder whose id `n` releases the nth character, and the groundings that end there."""

    def __init__(self, text: str, groundings: Sequence[Grounding]) -> None:
        self._text = text
        self._groundings = groundings

    def feed(self, token_ids: Sequence[int]) -> Released:
        text = "".join(self._text[number] for number in token_ids)
        ends = {number + 1 for number in token_ids}
        return Released(text, tuple(each for each in self._groundings if each.end in ends))

    def finish(self) -> Released:
        return Released("!")


def shown_of(text: str, stops: Sequence[str]) -> str:
    """Read letter by letter; the first stop string to be complete cuts the text before it."""
    for end in range(1, len(text) + 1):
        starts = [end - len(stop) for stop in stops if text[:end].endswith(stop)]
        if starts:
            return text[: min(starts)]
    return text


FEW_LETTERS = st.text("ab ", max_size=24)
STOPS = st.lists(st.text("ab !", min_size=1, max_size=5), max_size=4)


@st.composite
def answers(draw: st.DrawFn) -> tuple[str, list[Grounding], list[list[int]]]:
    """A text, groundings of stretches of it, and its characters' numbers in random portions."""
    text = draw(FEW_LETTERS)
    spans = draw(st.lists(st.tuples(st.integers(0, 24), st.integers(1, 24)), max_size=4))
    groundings = [
        Grounding(text[start:end], start, end, BOX)
        for start, end in sorted(set(spans), key=lambda span: span[1])
        if start < end <= len(text)
    ]
    portions: list[list[int]] = [[]]
    for number in range(len(text)):
        portions[-1].append(number)
        if draw(st.booleans()):
            portions.append([])
    return text, groundings, portions


@given(answers(), STOPS)
def test_what_is_shown_is_what_comes_before_the_first_stop_string(
    answer: tuple[str, list[Grounding], list[list[int]]], stops: list[str]
) -> None:
    text, groundings, portions = answer
    decoder = StopStrings(Scripted(text, groundings), stops)
    shown, placed = "", []
    for portion in portions:
        released = decoder.feed(portion)
        shown += released.text
        placed += released.grounding
        assert all(each.end <= len(shown) for each in placed)
        # What is held back could still become a stop string.
        held = text[len(shown) : portion[-1] + 1] if portion and not decoder.stopped else ""
        assert not held or any(stop.startswith(held) for stop in stops)
    end = decoder.finish()
    shown += end.text
    placed += end.grounding
    assert shown == shown_of(text + "!", stops)
    assert decoder.stopped == (shown != text + "!")
    assert placed == [each for each in groundings if each.end <= len(shown)]


@given(answers(), STOPS, st.data())
def test_replaying_the_ids_restores_the_state(
    answer: tuple[str, list[Grounding], list[list[int]]], stops: list[str], data: st.DataObject
) -> None:
    """Whatever the portions were in which the lost owner fed them."""
    text, groundings, portions = answer
    cut = data.draw(st.integers(0, len(portions)))
    first = StopStrings(Scripted(text, groundings), stops)
    before = [first.feed(portion) for portion in portions[:cut]]
    second = StopStrings(Scripted(text, groundings), stops)
    replayed = second.feed([number for portion in portions[:cut] for number in portion])
    assert replayed.text == "".join(each.text for each in before)
    assert second.stopped == first.stopped
    for portion in portions[cut:]:
        assert first.feed(portion) == second.feed(portion)
    assert first.finish() == second.finish()


@given(answers())
def test_without_stop_strings_all_passes(
    answer: tuple[str, list[Grounding], list[list[int]]],
) -> None:
    text, groundings, portions = answer
    scripted = Scripted(text, groundings)
    decoder = StopStrings(scripted, ())
    assert [decoder.feed(each) for each in portions] == [scripted.feed(each) for each in portions]
    assert decoder.finish() == Released("!")


def test_a_box_behind_all_that_is_shown_comes_at_the_end() -> None:
    """Blanks before it were the answer's last, and are not shown."""
    box = Grounding("", 3, 3, BOX)
    inner = SimpleNamespace(feed=lambda _: Released("a", (box,)), finish=Released)
    decoder = StopStrings(inner, ["b"])
    assert decoder.feed([0]) == Released("a")
    assert decoder.finish() == Released("", (box,))


def test_a_box_whose_phrase_is_cut_is_not_shown() -> None:
    dog, cat = Grounding("dog", 2, 5, BOX), Grounding("cat", 12, 15, BOX)
    text = "a dog and a cat"
    decoder = StopStrings(Scripted(text, [dog, cat]), ["a c"])
    assert decoder.feed(list(range(12))) == Released("a dog and ", (dog,))
    assert decoder.feed([12, 13, 14]) == Released()
    assert decoder.stopped
    assert decoder.finish() == Released()


def test_neither_is_one_whose_phrase_is_cut_by_the_answers_last_characters() -> None:
    decoder = StopStrings(Scripted("a dog", [Grounding("dog", 2, 5, BOX)]), ["g!"])
    assert decoder.feed(list(range(5))) == Released("a do")
    assert decoder.finish() == Released()
    assert decoder.stopped
