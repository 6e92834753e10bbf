import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kosmosx_stream.protocol.client_events import decode_client_event
from kosmosx_stream.protocol.conversations import decode_conversation, decode_items
from kosmosx_stream.protocol.errors import ApiError, InvalidRequest, PayloadTooLarge
from kosmosx_stream.protocol.inputs import InputImage, InputMessage, InputText, OutputText
from kosmosx_stream.protocol.requests import CreateResponse, Reasoning, decode_create

PICTURE = "data:image/png;base64,iVBORw0KGgo="
GOOD = {"model": "kosmos-x", "input": "Hello!"}


def decode(**changes: Any) -> CreateResponse:
    return decode_create(json.dumps(GOOD | changes).encode())


def parts(*content: Any, role: str = "user") -> list[Any]:
    return [{"role": role, "content": list(content)}]


def test_defaults() -> None:
    request = decode()
    assert request.messages == (InputMessage("user", (InputText("Hello!"),)),)
    assert (request.temperature, request.top_p) == (0, 1)
    assert request.store
    assert not request.stream
    assert request.grounding is None
    assert request == decode_create(json.dumps(GOOD))


def test_null_is_absent() -> None:
    names = set(CreateResponse.__struct_fields__) - {"model", "messages", "grounding"}
    others = {"background", "tools", "text", "include", "kosmosx:grounding", "prompt"}
    assert decode(**dict.fromkeys(names | others)) == decode()


def test_every_field() -> None:
    request = decode(
        instructions="Be brief.",
        max_output_tokens=16,
        temperature=2,
        top_p=0,
        store=False,
        stream=True,
        previous_response_id="resp_1",
        metadata={"k": "v"},
        truncation="auto",
        parallel_tool_calls=False,
        tool_choice="none",
        max_tool_calls=1,
        reasoning={"effort": "low"},
        user="u",
        safety_identifier="s",
        prompt_cache_key="p",
        **{"kosmosx:grounding": False},
    )
    assert request == CreateResponse(
        model="kosmos-x",
        messages=request.messages,
        instructions="Be brief.",
        max_output_tokens=16,
        temperature=2.0,
        top_p=0.0,
        store=False,
        stream=True,
        previous_response_id="resp_1",
        metadata={"k": "v"},
        truncation="auto",
        grounding=False,
        parallel_tool_calls=False,
        tool_choice="none",
        max_tool_calls=1,
        reasoning=Reasoning("low", None),
        user="u",
        safety_identifier="s",
        prompt_cache_key="p",
    )


@pytest.mark.parametrize("conversation", ["conv_1", {"id": "conv_1"}])
def test_conversation(conversation: Any) -> None:
    assert decode(conversation=conversation).conversation == "conv_1"


def test_content_is_normalised() -> None:
    items = [
        {"role": "system", "content": "Speak up."},
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "d"}]},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is this?"},
                {"type": "input_image", "image_url": PICTURE, "detail": "low"},
                {"type": "input_image", "image_url": PICTURE, "detail": None, "file_id": None},
            ],
        },
        {"role": "assistant", "content": "A circle."},
        {"role": "assistant", "content": [{"type": "output_text", "text": "A square."}]},
    ]
    assert decode(input=items).messages == (
        InputMessage("system", (InputText("Speak up."),)),
        InputMessage("developer", (InputText("d"),)),
        InputMessage(
            "user",
            (
                InputText("What is this?"),
                InputImage(PICTURE, "low", "input[2].content[1].image_url"),
                InputImage(PICTURE, "auto", "input[2].content[2].image_url"),
            ),
        ),
        InputMessage("assistant", (OutputText("A circle."),)),
        InputMessage("assistant", (OutputText("A square."),)),
    )


def test_items_of_earlier_responses_are_taken_back() -> None:
    echoed = {
        "id": "msg_1",
        "type": "message",
        "status": "incomplete",
        "role": "assistant",
        "phase": None,
        "content": [
            {
                "type": "output_text",
                "text": "A circle.",
                "annotations": [],
                "logprobs": [],
                "kosmosx:grounding": [
                    {"phrase": "A circle", "start": 0, "end": 8, "boxes": [[0, 0, 1, 1]]}
                ],
            }
        ],
    }
    assert decode(input=[echoed]).messages == (
        InputMessage("assistant", (OutputText("A circle."),)),
    )


HARMLESS = {
    "tools": [],
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "include": ["reasoning.encrypted_content"],
    "top_logprobs": 0,
    "presence_penalty": 0,
    "frequency_penalty": 0.0,
    "background": False,
    "service_tier": "flex",
    "stream_options": {"include_obfuscation": True},
    "tool_choice": "auto",
    "some_future_field": {"a": [1]},
}


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless(name: str) -> None:
    assert decode(**{name: HARMLESS[name]}) == decode()


MISSING = "missing_required_parameter"
UNSUPPORTED = "unsupported_parameter"
IMAGE = {"type": "input_image"}
BAD: list[tuple[dict[str, Any], str, str | None]] = [
    ({"model": None}, MISSING, "model"),
    ({"model": 5}, "invalid_type", "model"),
    ({"input": None}, MISSING, "input"),
    ({"input": 5}, "invalid_type", "input"),
    ({"input": {}}, "invalid_type", "input"),
    ({"input": []}, "empty_array", "input"),
    ({"input": ["x"]}, "invalid_type", "input[0]"),
    ({"input": [{}]}, MISSING, "input[0].role"),
    ({"input": [{"role": "robot", "content": "x"}]}, "invalid_value", "input[0].role"),
    ({"input": [{"role": "user"}]}, MISSING, "input[0].content"),
    ({"input": [{"role": "user", "content": 1}]}, "invalid_type", "input[0].content"),
    ({"input": [{"role": "user", "content": "x", "id": 1}]}, "invalid_type", "input[0].id"),
    ({"input": [{"role": "user", "content": "x", "status": 1}]}, "invalid_type", "input[0].status"),
    ({"input": [{"type": 1}]}, "invalid_type", "input[0].type"),
    ({"input": [{"type": "item_reference"}]}, MISSING, "input[0].id"),
    ({"input": [{"type": "item_reference", "id": ""}]}, "empty_string", "input[0].id"),
    ({"input": parts()}, "empty_array", "input[0].content"),
    ({"input": parts("x")}, "invalid_type", "input[0].content[0]"),
    ({"input": parts({})}, MISSING, "input[0].content[0].type"),
    ({"input": parts({"type": "input_text"})}, MISSING, "input[0].content[0].text"),
    ({"input": parts({"type": "input_text", "text": 1})}, "invalid_type",
     "input[0].content[0].text"),
    ({"input": parts({"type": "input_file", "file_id": "f"})}, "invalid_value",
     "input[0].content[0].type"),
    ({"input": parts({"type": "output_text", "text": "x"})}, "invalid_value",
     "input[0].content[0].type"),
    ({"input": parts({"type": "input_text", "text": "x"}, role="assistant")}, "invalid_value",
     "input[0].content[0].type"),
    ({"input": parts(IMAGE | {"image_url": PICTURE}, role="system")}, "invalid_value",
     "input[0].content[0].type"),
    ({"input": parts(IMAGE)}, MISSING, "input[0].content[0].image_url"),
    ({"input": parts(IMAGE | {"image_url": {"url": PICTURE}})}, "invalid_type",
     "input[0].content[0].image_url"),
    ({"input": parts(IMAGE | {"image_url": "http://example.com/a.png"})}, "invalid_image_url",
     "input[0].content[0].image_url"),
    ({"input": parts(IMAGE | {"file_id": "file_1"})}, UNSUPPORTED, "input[0].content[0].file_id"),
    ({"input": parts(IMAGE | {"image_url": PICTURE, "detail": "max"})}, "invalid_value",
     "input[0].content[0].detail"),
    ({"input": parts({"type": "input_text", "text": "x", "kosmosx:x": 1})}, "unknown_parameter",
     "input[0].content[0].kosmosx:x"),
    ({"instructions": ["x"]}, "invalid_type", "instructions"),
    ({"max_output_tokens": 15}, "integer_below_min_value", "max_output_tokens"),
    ({"max_output_tokens": -1}, "integer_below_min_value", "max_output_tokens"),
    ({"max_output_tokens": 10**30}, "integer_above_max_value", "max_output_tokens"),
    ({"max_output_tokens": 16.0}, "invalid_type", "max_output_tokens"),
    ({"max_output_tokens": True}, "invalid_type", "max_output_tokens"),
    ({"max_tool_calls": 0}, "integer_below_min_value", "max_tool_calls"),
    ({"temperature": "hot"}, "invalid_type", "temperature"),
    ({"temperature": 2.1}, "decimal_above_max_value", "temperature"),
    ({"temperature": -0.1}, "decimal_below_min_value", "temperature"),
    ({"temperature": False}, "invalid_type", "temperature"),
    ({"top_p": 1.1}, "decimal_above_max_value", "top_p"),
    ({"store": "yes"}, "invalid_type", "store"),
    ({"stream": 1}, "invalid_type", "stream"),
    ({"stream_options": 1}, "invalid_type", "stream_options"),
    ({"previous_response_id": 1}, "invalid_type", "previous_response_id"),
    ({"conversation": 1}, "invalid_type", "conversation"),
    ({"conversation": {}}, MISSING, "conversation.id"),
    ({"metadata": []}, "invalid_type", "metadata"),
    ({"metadata": {"k": 1}}, "invalid_type", "metadata.k"),
    ({"metadata": {"k": None}}, "invalid_type", "metadata.k"),
    ({"metadata": {"k": "v" * 513}}, "string_above_max_length", "metadata.k"),
    ({"metadata": {"k" * 65: "v"}}, "string_above_max_length", f"metadata.{'k' * 64}…"),
    ({"metadata": {str(i): "" for i in range(17)}}, "object_above_max_properties", "metadata"),
    ({"truncation": "some"}, "invalid_value", "truncation"),
    ({"kosmosx:grounding": "yes"}, "invalid_type", "kosmosx:grounding"),
    ({"kosmosx:unheard": 1}, "unknown_parameter", "kosmosx:unheard"),
    ({"text": {"format": {}}}, MISSING, "text.format.type"),
    ({"text": {"format": "text"}}, "invalid_type", "text.format"),
    ({"text": {"verbosity": "low"}}, UNSUPPORTED, "text.verbosity"),
    ({"reasoning": {"effort": "much"}}, "invalid_value", "reasoning.effort"),
    ({"background": True, "store": False}, "mutually_exclusive_parameters", "background"),
    ({"prompt": {"id": "p"}}, UNSUPPORTED, "prompt"),
    ({"include": ["message.output_text.logprobs"]}, UNSUPPORTED, "include[0]"),
    ({"include": [1]}, "invalid_type", "include[0]"),
    ({"top_logprobs": 3}, UNSUPPORTED, "top_logprobs"),
    ({"presence_penalty": 0.5}, UNSUPPORTED, "presence_penalty"),
    ({"frequency_penalty": -1}, UNSUPPORTED, "frequency_penalty"),
    ({"service_tier": 1}, "invalid_type", "service_tier"),
    ({"safety_identifier": "x" * 65}, "string_above_max_length", "safety_identifier"),
    ({"prompt_cache_key": 1}, "invalid_type", "prompt_cache_key"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "code", "param"), BAD, ids=str)
def test_refused(changes: dict[str, Any], code: str, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode(**changes)
    assert (refused.value.code, refused.value.param) == (code, param)
    assert refused.value.message


def test_messages_say_what_was_expected() -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode(temperature="hot")
    assert refused.value.message == (
        "Invalid type for 'temperature': expected a decimal, but got a string instead."
    )
    with pytest.raises(InvalidRequest) as refused:
        decode(max_output_tokens=1)
    assert "Expected a value >= 16, but got 1" in refused.value.message


MALFORMED = [
    b"",
    b"{",
    b"\xff\xfe",
    b'{"model":"k","input":"\\ud800"}',
    b'{"model":"k","input":"\\udc00 and more text"}',
    b'{"model":"k","input":"\xed\xa0\x80"}',
    b'{"model":"k","input":"x"} trailing',
    b'{"temperature":1e999}',
    b'{"temperature":NaN}',
    b'{"max_output_tokens":' + b"9" * 5000 + b"}",
    b"[" * 100_000,
    b'{"input":' + b"[" * 33 + b"]" * 33 + b"}",
    '{"model":"k","input":"\ud800"}',
]


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed(body: bytes | str) -> None:
    for decoder in (decode_create, decode_client_event):
        with pytest.raises(InvalidRequest) as refused:
            decoder(body)
        assert (refused.value.code, refused.value.param) == ("invalid_json", None)


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"7", b"null"])
def test_not_an_object(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="expected a JSON object"):
        decode_create(body)


def test_depth_up_to_the_limit_is_fine() -> None:
    deep: Any = []
    for _ in range(30):
        deep = [deep]
    assert decode(future=deep) == decode()
    with pytest.raises(InvalidRequest, match="nested"):
        decode(future=[deep])


def test_text_is_bounded_but_pictures_are_not() -> None:
    assert decode(input="x" * 260_000)
    for changes in ({"input": "x" * 262_145}, {"input": "é" * 140_000}, {"future": [0] * 300_000}):
        with pytest.raises(PayloadTooLarge) as refused:
            decode(**changes)
        assert refused.value.code == "request_too_large"
    big = "data:image/png;base64," + "A" * 1_000_000
    assert decode(input=parts(IMAGE | {"image_url": big}))


# Random JSON from the words of real requests, so that much of it gets past the first check.
WORDS = st.sampled_from(
    ["model", "input", "type", "role", "user", "assistant", "content", "message", "text", "id",
     "input_text", "input_image", "image_url", "output_text", "metadata", "tools", "format",
     "conversation", "reasoning", "effort", "include", "stream_id", "response.create",
     "kosmosx:response.cancel", "response_id", "items", "temperature", "kosmosx:grounding", PICTURE]
)  # fmt: skip
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS
    | st.text(st.characters(codec="utf-8"), max_size=5)
)  # fmt: skip
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=6)
    ),
    max_leaves=20,
)
OBJECTS = st.dictionaries(WORDS, JSON, max_size=8)


@given(OBJECTS | JSON, st.booleans())
def test_any_json_is_decoded_or_refused(data: Any, complete: bool) -> None:  # noqa: FBT001
    if complete and isinstance(data, dict):
        data = GOOD | {"type": "response.create"} | data
    for decoder in (decode_create, decode_client_event, decode_conversation, decode_items):
        with contextlib.suppress(InvalidRequest):
            decoder(json.dumps(data))


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_bytes_are_refused(body: bytes | str) -> None:
    with pytest.raises(ApiError):
        decode_create(body)
