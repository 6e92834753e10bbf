"""Words are found where they were said last, and shown with what is around them."""

import pytest
from msgspec.structs import replace

from conversation.items import Answer, Message, Text, Turn
from conversation.search import Found, find
from tests.conversation.samples import turn


def exchange(response_id: str, question: str, answer: str) -> Turn:
    asked = Message(id="msg_q", role="user", content=(Text(question),))
    reply = Message(id="msg_a", role="assistant", content=(Answer(answer),))
    return replace(turn(response_id), input=(asked,), output=(reply,))


TURNS = [
    exchange("resp_0", "What are boats?", "They float."),
    exchange("resp_1", "And tides?", "Boats rise\nwith the tide."),
]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("BOATS", Found("resp_1", "", "Boats", " rise with the tide.")),
        ("are boats?", Found("resp_0", "What ", "are boats?", "")),
        ("a.d", None),
        ("sails", None),
    ],
)
def test_where_words_stand(words: str, found: Found | None) -> None:
    assert find(TURNS, words) == found


def test_what_is_around_them_is_cut_between_words() -> None:
    found = find([exchange("resp_0", "?", "alpha " * 30 + "needle" + " omega" * 30)], "needle")
    assert found is not None
    assert found.before.startswith("…alpha alpha")
    assert found.after.endswith(" omega…")
    assert len(found.before) <= 61
    assert len(found.after) <= 61
