"""Functions in requests: what is understood, and what is refused by the name of its field."""

import json
from typing import Any

import msgspec
import pytest
from openai.types.responses import Response

from kosmosx_stream.protocol.errors import InvalidRequest
from kosmosx_stream.protocol.inputs import InputCall, InputCallOutput, InputImage, InputText
from kosmosx_stream.protocol.json_schemas import MAX_REPEATS, MAX_SCHEMA_BYTES
from kosmosx_stream.protocol.projection import Projector
from kosmosx_stream.protocol.requests import CreateResponse, decode_create
from kosmosx_stream.protocol.responses import echoed_fields
from kosmosx_stream.protocol.text_format import JsonObjectFormat, JsonSchemaFormat, PlainFormat
from kosmosx_stream.protocol.tools import (
    NO_ARGUMENTS,
    FunctionTool,
    callable_tools,
)

PARAMETERS = {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]}
LOOK = {"type": "function", "name": "look", "description": "Look.", "parameters": PARAMETERS}
WAIT = {"type": "function", "name": "wait", "strict": False}
FORMAT = {"type": "json_schema", "name": "seen", "schema": PARAMETERS, "strict": True}


def decode(**changes: Any) -> CreateResponse:
    return decode_create(json.dumps({"model": "k", "input": "x"} | changes))


def function(name: str) -> dict[str, str]:
    return {"type": "function", "name": name}


def test_functions_are_read() -> None:
    look, wait = decode(tools=[LOOK, WAIT]).tools
    assert look == FunctionTool(name="look", description="Look.", parameters=PARAMETERS)
    assert (look.schema, wait.schema, wait.strict) == (PARAMETERS, NO_ARGUMENTS, False)


@pytest.mark.parametrize(
    ("choice", "names", "required"),
    [
        (None, ["look", "wait"], False),
        ("auto", ["look", "wait"], False),
        ("required", ["look", "wait"], True),
        ("none", [], False),
        (function("wait"), ["wait"], True),
        ({"type": "allowed_tools", "tools": [function("wait")]}, ["wait"], False),
        (
            {"type": "allowed_tools", "tools": [function("look")], "mode": "required"},
            ["look"],
            True,
        ),
        ({"type": "allowed_tools", "tools": [function("look")], "mode": "none"}, [], False),
    ],
)
def test_what_may_be_called(choice: Any, names: list[str], required: bool) -> None:  # noqa: FBT001
    request = decode(tools=[LOOK, WAIT], tool_choice=choice)
    found = callable_tools(request.tools, request.tool_choice)
    assert ([tool.name for tool in found.tools], found.required) == (names, required)


def test_formats_are_read() -> None:
    assert decode(text=None).text.format == decode(text={}).text.format == PlainFormat()
    assert decode(text={"format": {"type": "text"}}).text.schema is None
    plain = decode(text={"format": {"type": "json_object"}}).text
    assert (plain.format, plain.schema) == (JsonObjectFormat(), {"type": "object"})
    text = decode(text={"format": FORMAT}).text
    assert text.format == JsonSchemaFormat(name="seen", strict=True, schema=PARAMETERS)
    assert text.schema == PARAMETERS


def test_calls_and_their_outputs_are_read() -> None:
    picture = "data:image/png;base64,AAAA"
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": picture}]
    items = [
        {"type": "function_call", "call_id": "c", "name": "look", "arguments": '{"at":"b"}',
         "id": "fc_1", "status": "completed"},
        {"type": "function_call_output", "call_id": "c", "output": "a"},
        {"type": "function_call_output", "call_id": "c", "output": parts, "status": None},
    ]  # fmt: skip
    assert decode(input=items).messages == (
        InputCall("c", "look", '{"at":"b"}'),
        InputCallOutput("c", "a", "input[1].call_id"),
        InputCallOutput(
            "c",
            (InputText("a"), InputImage(picture, "auto", "input[2].output[1].image_url")),
            "input[2].call_id",
        ),
    )


def tool(**changes: Any) -> dict[str, Any]:
    return {"tools": [LOOK | changes]}


def schema(**keywords: Any) -> dict[str, Any]:
    return tool(parameters={"type": "object", "properties": {"a": keywords}})


def item(**fields: Any) -> dict[str, Any]:
    return {"input": [fields]}


def output(**fields: Any) -> dict[str, Any]:
    return item(**({"type": "function_call_output", "call_id": "c", "output": ""} | fields))


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"tools": {}}, "invalid_type", "tools"),
    ({"tools": [1]}, "invalid_type", "tools[0]"),
    ({"tools": [WAIT] * 129}, "array_above_max_length", "tools"),
    ({"tools": [{"type": "web_search"}]}, "unsupported_tool", "tools[0].type"),
    ({"tools": [{"name": "f"}]}, "unsupported_tool", "tools[0].type"),
    ({"tools": [{"type": "function"}]}, "missing_required_parameter", "tools[0].name"),
    (tool(name="a b"), "invalid_value", "tools[0].name"),
    (tool(name="a" * 65), "invalid_value", "tools[0].name"),
    ({"tools": [LOOK, WAIT, LOOK]}, "duplicate_name", "tools[2].name"),
    (tool(description=1), "invalid_type", "tools[0].description"),
    (tool(strict="yes"), "invalid_type", "tools[0].strict"),
    (tool(parameters=[]), "invalid_type", "tools[0].parameters"),
    (tool(parameters={"type": "string"}), "invalid_schema", "tools[0].parameters"),
    (schema(minItems=MAX_REPEATS + 1), "invalid_schema", "tools[0].parameters"),
    (schema(enum=["x" * MAX_SCHEMA_BYTES]), "invalid_schema", "tools[0].parameters"),
    ({"tool_choice": "required"}, "tool_not_found", "tool_choice"),
    ({"tool_choice": "any"}, "invalid_value", "tool_choice"),
    ({"tool_choice": 1}, "invalid_type", "tool_choice"),
    ({"tool_choice": {}}, "missing_required_parameter", "tool_choice.type"),
    ({"tool_choice": {"type": "mcp"}}, "invalid_value", "tool_choice.type"),
    ({"tool_choice": function("f")}, "tool_not_found", "tool_choice.name"),
    ({"tool_choice": {"type": "allowed_tools"}}, "missing_required_parameter", "tool_choice.tools"),
    (
        {"tool_choice": {"type": "allowed_tools", "tools": [function("f")]}},
        "tool_not_found",
        "tool_choice.tools[0].name",
    ),
    ({"text": {"format": {}}}, "missing_required_parameter", "text.format.type"),
    ({"text": {"format": {"type": "grammar"}}}, "invalid_value", "text.format.type"),
    ({"text": {"format": FORMAT | {"name": "ü"}}}, "invalid_value", "text.format.name"),
    (
        {"text": {"format": FORMAT | {"schema": None}}},
        "missing_required_parameter",
        "text.format.schema",
    ),
    ({"text": {"verbosity": "low"}}, "unsupported_parameter", "text.verbosity"),
    (item(type="function_call", name="f", arguments=""), "missing_required_parameter",
     "input[0].call_id"),
    (item(type="function_call", call_id="c", name="f"), "missing_required_parameter",
     "input[0].arguments"),
    (item(type="function_call", call_id="c", name=".", arguments=""), "invalid_value",
     "input[0].name"),
    (output(call_id=""), "missing_required_parameter", "input[0].call_id"),
    (output(call_id="c" * 65), "string_above_max_length", "input[0].call_id"),
    (output(output=None), "missing_required_parameter", "input[0].output"),
    (output(output=1), "invalid_type", "input[0].output"),
    (output(output=[{"type": "output_text", "text": "x"}]), "invalid_value",
     "input[0].output[0].type"),
    (item(type="reasoning"), "unsupported_input_item", "input[0].type"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "code", "param"), BAD, ids=lambda value: str(value)[:60])
def test_refused(changes: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode(**changes)
    assert (refused.value.code, refused.value.param) == (code, param)


CHOICES = (
    "auto", "none", "required", function("look"),
    {"type": "allowed_tools", "tools": [function("look")], "mode": "auto"},
)  # fmt: skip


@pytest.mark.parametrize("choice", CHOICES, ids=str)
@pytest.mark.parametrize("form", ["text", "json_object", "json_schema"])
def test_they_are_echoed(validate, make_started, choice: Any, form: str) -> None:
    text_format = FORMAT if form == "json_schema" else {"type": form}
    request = decode(tools=[LOOK, WAIT], tool_choice=choice, text={"format": text_format})
    projector = Projector(lambda *_: 0)
    projector.feed(make_started(request=echoed_fields(request)))
    response = json.loads(msgspec.json.encode(projector.response()))
    validate("ResponseResource", response)
    Response.construct(**response).model_dump()
    assert response["tool_choice"] == choice
    assert response["tools"] == [
        LOOK | {"strict": True},
        WAIT | {"description": None, "parameters": None},
    ]
    assert response["text"]["format"]["type"] == form
    if form == "json_schema":
        assert response["text"]["format"] == {
            "type": "json_schema",
            "name": "seen",
            "description": None,
            "strict": True,
            "schema": None,
            "kosmosx:schema": PARAMETERS,
        }
