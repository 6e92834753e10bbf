"""An answer's items, as its text arrives."""

from typing import Any

import pytest

from conversation.items import Answer, FunctionCall, Grounding, Message
from kosmosx_stream.formats.answer import AnswerItems, Argued, Closed, Opened, Said
from kosmosx_stream.formats.call_reader import CALL, said_call

DOG = Grounding("dog", 2, 5, ((0.0, 0.25, 0.5, 1.0),))


def answer(*texts: str, calls: bool = True, reason: Any = "stop") -> AnswerItems:
    items = AnswerItems("msg_7", calls=calls)
    for text in texts:
        items.feed(text)
    items.finish(reason)
    return items


def message(text: str, status: Any = "completed") -> Message:
    return Message(id="msg_7", role="assistant", content=(Answer(text),), status=status)


def call(number: int, name: str, arguments: str, status: Any = "completed") -> FunctionCall:
    return FunctionCall(
        id=f"fc_7_{number}",
        call_id=f"call_7_{number}",
        name=name,
        arguments=arguments,
        status=status,
    )


def test_words_are_one_message() -> None:
    assert answer("Hello ", "there.").items == (message("Hello there."),)


def test_without_functions_nothing_is_a_call() -> None:
    text = said_call("f", "{}")
    assert answer(text, calls=False).items == (message(text),)


def test_words_and_calls() -> None:
    items = answer("Let me see. ", said_call("f", '{"a":1}') + said_call("g", "{}")).items
    assert items == (message("Let me see."), call(0, "f", '{"a":1}'), call(1, "g", "{}"))


@pytest.mark.parametrize("reason", ["length", "cancelled", "budget", "error"])
def test_what_was_open_when_the_answer_was_cut_is_incomplete(reason: Any) -> None:
    items = answer(said_call("f", "{}"), f'{CALL}{{"name":"g","arguments":{{"a":', reason=reason)
    assert items.items == (call(0, "f", "{}"), call(1, "g", '{"a":', "incomplete"))
    assert answer("He", reason=reason).items == (message("He", "incomplete"),)


@pytest.mark.parametrize(
    ("reason", "items"),
    [
        ("stop", (message(""),)),
        ("length", (message("", "incomplete"),)),
        ("cancelled", ()),
        ("error", ()),
    ],
)
def test_an_answer_of_nothing(reason: Any, items: Any) -> None:
    assert answer(reason=reason).items == items
    assert answer(CALL, reason=reason).items == items


def test_changes_tell_what_the_items_do() -> None:
    items = AnswerItems("msg_7", calls=True)
    opened = Message(id="msg_7", role="assistant", content=(), status="in_progress")
    assert items.feed("A dog", (DOG,)) == [Opened(0, opened), Said(0, "msg_7", "A dog", (DOG,))]
    grounded = Message(id="msg_7", role="assistant", content=(Answer("A dog", (DOG,)),))
    begun = call(0, "f", "", "in_progress")
    assert items.feed(f'{CALL}{{"name":"f","arguments":{{"a"') == [
        Closed(0, grounded),
        Opened(1, begun),
        Argued(1, "fc_7_0", '{"a"'),
    ]
    assert items.items == (grounded, call(0, "f", '{"a"', "in_progress"))
    assert items.feed(":1}") == [
        Argued(1, "fc_7_0", ":1}"),
        Closed(1, call(0, "f", '{"a":1}')),
    ]
    assert items.feed("}</tool_call>") == items.finish("stop") == []


def test_boxes_come_without_text_too() -> None:
    items = AnswerItems("msg_7", calls=True)
    items.feed("A dog <")
    assert items.feed("", (DOG,)) == [Said(0, "msg_7", "", (DOG,))]
    assert items.finish("stop")[0] == Said(0, "msg_7", " <", ())
