from hypothesis import given
from hypothesis import strategies as st

from conversation.items import Answer, FunctionCall, FunctionCallOutput, Image, Message, Text
from kosmosx_stream.admission.compaction import HEADING, LONGEST_LINE, PICTURE, compact


def said(role: str, *parts: object) -> Message:
    return Message(id=f"msg_{role}", role=role, content=parts)  # type: ignore[arg-type]


CONVERSATION = (
    said("system", Text("Be brief.")),
    said("user", Image("i1"), Text("What is this?")),
    said("assistant", Answer(text="A red circle. It is large, and it lies on the left.")),
    said("user", Text("And its size?")),
    FunctionCall(id="fc", call_id="c", name="measure", arguments='{"what":"circle"}'),
    FunctionCallOutput(id="fo", call_id="c", output="40 pixels\nacross"),
    said("assistant", Answer(text="")),
)


def test_words_of_the_user_stay_and_answers_become_lines() -> None:
    compacted = compact(CONVERSATION)
    assert [message.role for message in compacted.messages] == ["system", "user", "user"]
    assert compacted.messages[1].content == (Text(PICTURE), Text("What is this?"))
    assert compacted.note.splitlines() == [
        HEADING,
        "- A red circle.",
        '- called measure({"what":"circle"})',
        "- got 40 pixels across",
    ]


def test_compacting_again_keeps_what_was_noted() -> None:
    first = compact(CONVERSATION)
    again = compact((*first.messages, said("assistant", Text(first.note))))
    assert again == first
    further = compact((said("assistant", Text(first.note)), said("assistant", Text("Goodbye!"))))
    assert further.note == f"{first.note}\n- Goodbye!"
    assert compact(()).note == HEADING


@given(st.lists(st.text(), max_size=5))
def test_a_note_has_at_most_one_short_line_for_each_answer(answers: list[str]) -> None:
    note = compact([said("assistant", Text(answer)) for answer in answers]).note
    heading, *lines = note.split("\n")
    assert heading == HEADING
    assert len(lines) <= len(answers)
    assert all(len(line) <= LONGEST_LINE + len("- ") for line in lines)
