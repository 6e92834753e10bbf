"""From a request to what its answer is held to, or to a refusal that names the schema."""

import json
from typing import Any

import pytest

from kosmosx_stream.admission.answer_form import AnswerForm, answer_form
from kosmosx_stream.formats.grammar import MAX_CALLS
from kosmosx_stream.protocol.errors import InvalidRequest
from kosmosx_stream.protocol.requests import decode_create

LOOK = {"type": "function", "name": "look"}
BAD = {"type": "object", "properties": {"a": {"not": {}}}}


def form(**changes: Any) -> AnswerForm:
    return answer_form(decode_create(json.dumps({"model": "k", "input": "x"} | changes)))


def test_words() -> None:
    assert form() == form(tools=[LOOK], tool_choice="none") == AnswerForm(False, None)


def test_marks_may_be_any_tokens_of_the_model() -> None:
    asked = decode_create(json.dumps({"model": "k", "input": "x", "tools": [LOOK]}))
    assert "<[1256-1258,65000]>" in str(answer_form(asked, (1256, 1257, 65000, 1258)).grammar)


def test_json_is_no_call() -> None:
    json_only = form(text={"format": {"type": "json_object"}})
    assert (json_only.calls, json_only.grammar is None) == (False, False)


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({}, MAX_CALLS - 1),
        ({"max_tool_calls": 3}, 2),
        ({"max_tool_calls": 300}, MAX_CALLS - 1),
        ({"parallel_tool_calls": False}, None),
        ({"parallel_tool_calls": False, "max_tool_calls": 3}, None),
    ],
)
def test_so_many_calls(changes: Any, more: int | None) -> None:
    found = form(tools=[LOOK], **changes)
    assert found.calls
    assert ("){0,%s}" % more in str(found.grammar)) == (more is not None)  # noqa: UP031


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"tools": [LOOK, LOOK | {"name": "b", "parameters": BAD}]}, "tools[1].parameters"),
        (
            {"text": {"format": {"type": "json_schema", "name": "x", "schema": BAD}}},
            "text.format.schema",
        ),
    ],
)
def test_a_schema_that_cannot_be_used_is_named(changes: Any, param: str) -> None:
    with pytest.raises(InvalidRequest, match=r'Unimplemented keys: \["not"\]') as refused:
        form(**changes)
    assert (refused.value.code, refused.value.param) == ("invalid_schema", param)
