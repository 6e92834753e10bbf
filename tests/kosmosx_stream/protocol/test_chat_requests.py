"""Chat requests: what is taken, and what is refused under which name."""

import json
from typing import Any

import pytest

from kosmosx_stream.protocol.chat import StreamOptions
from kosmosx_stream.protocol.chat_requests import ChatRequest, decode_chat
from kosmosx_stream.protocol.errors import InvalidRequest
from kosmosx_stream.protocol.fields import MAX_TEXT_BYTES
from kosmosx_stream.protocol.inputs import (
    InputCall,
    InputCallOutput,
    InputImage,
    InputMessage,
    InputText,
    OutputText,
)
from kosmosx_stream.protocol.requests import CreateResponse
from kosmosx_stream.protocol.tools import AllowedTools, FunctionChoice, FunctionTool

PICTURE = "data:image/png;base64,AAAA"


def decode(**changes: Any) -> ChatRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]} | changes
    return decode_chat(json.dumps(body))


def create(**changes: Any) -> CreateResponse:
    return decode(**changes).create


def test_the_least_that_can_be_asked() -> None:
    assert decode() == ChatRequest(
        CreateResponse(
            model="m",
            messages=(InputMessage("user", (InputText("Hi"),)),),
            store=False,
            input_param="messages",
            tool_schema_param="tools[{index}].function.parameters",
            text_schema_param="response_format.json_schema.schema",
        ),
        StreamOptions(),
    )


def test_all_that_can_be_asked() -> None:
    asked = create(
        max_completion_tokens=5,
        temperature=0.5,
        top_p=0.9,
        seed=-(2**60),
        stop=["a", "bc"],
        store=True,
        stream=True,
        metadata={"a": "b"},
        user="u",
        safety_identifier="s",
        prompt_cache_key="k",
        **{"kosmosx:grounding": True},
    )
    assert (asked.max_output_tokens, asked.temperature, asked.top_p) == (5, 0.5, 0.9)
    assert (asked.seed, asked.stop) == (-(2**60), ("a", "bc"))
    assert (asked.store, asked.stream, asked.grounding) == (True, True, True)
    assert (asked.metadata, asked.user) == ({"a": "b"}, "u")
    assert (asked.safety_identifier, asked.prompt_cache_key) == ("s", "k")


def test_a_conversation_of_every_role() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "In French."}]},
        {
            "role": "user",
            "name": "Ada",
            "content": [
                {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}},
                {"type": "text", "text": "What is it?"},
            ],
        },
        {
            "role": "assistant",
            "content": "A dog.",
            "refusal": None,
            "annotations": [],
            "audio": None,
            "function_call": None,
            "tool_calls": None,
            "kosmosx:grounding": [],
        },
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "assistant", "content": None, "refusal": "Never."},
        {"role": "user", "content": ""},
    ]
    assert create(messages=messages).messages == (
        InputMessage("system", (InputText("Be brief."),)),
        InputMessage("developer", (InputText("In French."),)),
        InputMessage(
            "user",
            (
                InputImage(PICTURE, "low", "messages[2].content[0].image_url.url"),
                InputText("What is it?"),
            ),
        ),
        InputMessage("assistant", (OutputText("A dog."),)),
        InputMessage("assistant", (OutputText("No."),)),
        InputMessage("assistant", (OutputText("Never."),)),
        InputMessage("user", (InputText(""),)),
    )


def test_both_names_of_the_limit() -> None:
    assert create(max_tokens=7).max_output_tokens == 7
    assert create(max_tokens=7, max_completion_tokens=7).max_output_tokens == 7


def test_stop_as_a_string_or_not_at_all() -> None:
    assert create(stop="a").stop == ("a",)
    assert create(stop=[]).stop == create(stop=None).stop == ()


def test_usage_of_a_stream() -> None:
    def options(**fields: bool) -> StreamOptions:
        return decode(stream=True, stream_options=fields).stream_options

    assert options(include_usage=True) == StreamOptions(include_usage=True)
    assert options(include_usage=False, continuous_usage_stats=True) == StreamOptions()
    assert options(include_usage=True, continuous_usage_stats=True) == StreamOptions(
        include_usage=True, continuous_usage_stats=True
    )


@pytest.mark.parametrize(
    "neutral",
    [
        {"n": 1},
        {"tools": [], "tool_choice": "auto", "parallel_tool_calls": False},
        {"functions": [], "function_call": "none"},
        {"response_format": {"type": "text"}},
        {"logprobs": False, "top_logprobs": 0, "logit_bias": {}},
        {"presence_penalty": 0, "frequency_penalty": 0.0},
        {"modalities": ["text"], "audio": None, "verbosity": "medium"},
        {"service_tier": "auto", "reasoning_effort": "low", "web_search_options": None},
        {"prediction": {"type": "content", "content": "Hi"}},
        {"stream_options": {"include_obfuscation": False}},
        {"nobody_knows": {"this": "yet"}},
    ],
    ids=lambda neutral: next(iter(neutral)),
)
def test_what_asks_for_nothing_passes(neutral: dict[str, Any]) -> None:
    assert decode(**neutral) == decode(
        **{name: value for name, value in neutral.items() if name == "parallel_tool_calls"}
    )


def user(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def after_another(message: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Hi"}, message]}


CASES: list[tuple[dict[str, Any], str, str]] = [
    ({"model": None}, "missing_required_parameter", "model"),
    ({"messages": None}, "missing_required_parameter", "messages"),
    ({"messages": []}, "empty_array", "messages"),
    ({"messages": "Hi"}, "invalid_type", "messages"),
    ({"messages": ["Hi"]}, "invalid_type", "messages[0]"),
    ({"messages": [{"content": "Hi"}]}, "missing_required_parameter", "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "missing_required_parameter", "messages[0].content"),
    (after_another({"role": "robot", "content": "4"}), "invalid_value", "messages[1].role"),
    (
        after_another({"role": "tool", "content": "4"}),
        "missing_required_parameter",
        "messages[1].tool_call_id",
    ),
    (
        after_another({"role": "assistant", "tool_calls": [{"id": "c"}]}),
        "missing_required_parameter",
        "messages[1].tool_calls[0].type",
    ),
    (
        after_another({"role": "assistant", "content": None}),
        "missing_required_parameter",
        "messages[1].content",
    ),
    (user(), "empty_array", "messages[0].content"),
    (user({"text": "Hi"}), "missing_required_parameter", "messages[0].content[0].type"),
    (user({"type": "text"}), "missing_required_parameter", "messages[0].content[0].text"),
    (user({"type": "input_audio"}), "invalid_value", "messages[0].content[0].type"),
    (user({"type": "file"}), "invalid_value", "messages[0].content[0].type"),
    (user({"type": "image_url"}), "missing_required_parameter", "messages[0].content[0].image_url"),
    (
        user({"type": "image_url", "image_url": PICTURE}),
        "invalid_type",
        "messages[0].content[0].image_url",
    ),
    (
        user({"type": "text", "text": "?"}, {"type": "image_url", "image_url": {}}),
        "missing_required_parameter",
        "messages[0].content[1].image_url.url",
    ),
    (
        user({"type": "image_url", "image_url": {"url": "http://example.com/a.png"}}),
        "invalid_image_url",
        "messages[0].content[0].image_url.url",
    ),
    (
        user({"type": "image_url", "image_url": {"url": PICTURE, "detail": "fine"}}),
        "invalid_value",
        "messages[0].content[0].image_url.detail",
    ),
    (
        after_another({"role": "system", "content": [{"type": "image_url"}]}),
        "invalid_value",
        "messages[1].content[0].type",
    ),
    ({"n": 2}, "unsupported_parameter", "n"),
    ({"n": 0}, "integer_below_min_value", "n"),
    ({"max_tokens": 0}, "integer_below_min_value", "max_tokens"),
    ({"max_tokens": 5, "max_completion_tokens": 6}, "mutually_exclusive_parameters", "max_tokens"),
    ({"temperature": 2.1}, "decimal_above_max_value", "temperature"),
    ({"top_p": -1}, "decimal_below_min_value", "top_p"),
    ({"seed": 2**63}, "integer_above_max_value", "seed"),
    ({"seed": 1.5}, "invalid_type", "seed"),
    ({"stop": 7}, "invalid_type", "stop"),
    ({"stop": ""}, "empty_string", "stop"),
    ({"stop": ["a", ""]}, "empty_string", "stop[1]"),
    ({"stop": ["a", None]}, "invalid_type", "stop[1]"),
    ({"stop": ["a"] * 5}, "array_above_max_length", "stop"),
    ({"stop": "a" * 257}, "string_above_max_length", "stop"),
    ({"logprobs": True}, "unsupported_parameter", "logprobs"),
    ({"top_logprobs": 3}, "unsupported_parameter", "top_logprobs"),
    ({"logit_bias": {"50": -100}}, "unsupported_parameter", "logit_bias"),
    ({"presence_penalty": 0.5}, "unsupported_parameter", "presence_penalty"),
    ({"frequency_penalty": -1}, "unsupported_parameter", "frequency_penalty"),
    ({"audio": {"voice": "alloy"}}, "unsupported_parameter", "audio"),
    ({"modalities": ["text", "audio"]}, "unsupported_parameter", "modalities[1]"),
    ({"functions": [{"name": "f"}]}, "unsupported_tool", "functions[0]"),
    ({"function_call": {"name": "f"}}, "unsupported_parameter", "function_call"),
    ({"tools": [{"type": "custom"}]}, "unsupported_tool", "tools[0].type"),
    (
        {"tools": [{"type": "function", "function": {"name": "a b"}}]},
        "invalid_value",
        "tools[0].function.name",
    ),
    ({"tool_choice": "required"}, "tool_not_found", "tool_choice"),
    (
        {"tool_choice": {"type": "function"}},
        "missing_required_parameter",
        "tool_choice.function",
    ),
    ({"response_format": {"type": "xml"}}, "invalid_value", "response_format.type"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
        "missing_required_parameter",
        "response_format.json_schema.schema",
    ),
    ({"web_search_options": {}}, "unsupported_parameter", "web_search_options"),
    ({"moderation": {"model": "m"}}, "unsupported_parameter", "moderation"),
    ({"verbosity": "high"}, "unsupported_parameter", "verbosity"),
    ({"stream": "yes"}, "invalid_type", "stream"),
    ({"stream_options": True}, "invalid_type", "stream_options"),
    ({"stream_options": {"include_usage": 1}}, "invalid_type", "stream_options.include_usage"),
    ({"metadata": {"a": 1}}, "invalid_type", "metadata.a"),
    ({"kosmosx:nothing": 1}, "unknown_parameter", "kosmosx:nothing"),
]


@pytest.mark.parametrize(("changes", "code", "param"), CASES, ids=lambda case: str(case)[:60])
def test_faults_name_their_field(changes: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode(**changes)
    assert (refused.value.code, refused.value.param) == (code, param)
    assert refused.value.message


def test_pictures_do_not_count_as_text() -> None:
    large = "data:image/png;base64," + "A" * (MAX_TEXT_BYTES + 1)
    asked = create(**user({"type": "image_url", "image_url": {"url": large}}))
    assert asked.messages[0].parts == (
        InputImage(large, "auto", "messages[0].content[0].image_url.url"),
    )


def test_functions_are_those_of_responses() -> None:
    """Described one level down, and read as the Responses API has them."""
    look = {"name": "look", "description": "Look.", "parameters": {"type": "object"}}
    choice = {
        "type": "allowed_tools",
        "allowed_tools": {
            "mode": "required",
            "tools": [{"type": "function", "function": {"name": "look"}}],
        },
    }
    schema = {"name": "seen", "schema": {"type": "object"}, "strict": True}
    called = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    request = decode(
        messages=[
            {"role": "user", "content": "?"},
            {"role": "assistant", "content": None, "tool_calls": [called]},
            {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "a dog"}]},
            {"role": "assistant", "content": "A dog.", "tool_calls": [called]},
        ],
        tools=[{"type": "function", "function": look}],
        tool_choice=choice,
        response_format={"type": "json_schema", "json_schema": schema},
    ).create
    assert request.messages[1:] == (
        InputCall("c", "look", "{}"),
        InputCallOutput("c", "a dog", "messages[2].tool_call_id"),
        InputMessage("assistant", (OutputText("A dog."),)),
        InputCall("c", "look", "{}"),
    )
    assert request.tools == (
        FunctionTool(name="look", description="Look.", parameters={"type": "object"}),
    )
    assert request.tool_choice == AllowedTools(tools=(FunctionChoice("look"),), mode="required")
    assert request.text.schema == {"type": "object"}
