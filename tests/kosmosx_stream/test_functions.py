"""Functions and structured output by the official client, over SSE and over WebSocket."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import openai
import pydantic
import pytest
from jsonschema import Draft202012Validator

from tests.kosmosx_stream.clients import MODEL, client, message, picture_url, socket, text_of
from tests.server_process import ServerProcess

PLACE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "colour": {"type": "string", "enum": ["red", "green", "blue"]},
        "at": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 99},
               "minItems": 2, "maxItems": 2},
        "note": {"type": "string", "maxLength": 20},
    },
    "required": ["colour", "at", "note"],
    "additionalProperties": False,
}  # fmt: skip
POINT: dict[str, Any] = {
    "type": "function",
    "name": "point",
    "description": "Point at something.",
    "parameters": PLACE,
    "strict": True,
}
WAIT: dict[str, Any] = {"type": "function", "name": "wait", "parameters": None, "strict": True}
ARGUED = "response.function_call_arguments.delta"


@pytest.fixture
def official(wordy_server: ServerProcess) -> openai.OpenAI:
    return client(wordy_server)


def arguments_of(events: Sequence[Any]) -> str:
    return "".join(event.delta for event in events if event.type == ARGUED)


def streamed(official: openai.OpenAI, **request: Any) -> list[Any]:
    with official.responses.create(model=MODEL, stream=True, **request) as events:
        return list(events)


def check(call: Any) -> None:
    """A whole call of `point`."""
    assert (call.type, call.name, call.status) == ("function_call", "point", "completed")
    Draft202012Validator(PLACE).validate(json.loads(call.arguments))


def test_a_required_call_streams(official: openai.OpenAI) -> None:
    events = streamed(
        official,
        input="Where is it?",
        tools=[POINT],
        tool_choice="required",
        parallel_tool_calls=False,
    )
    (call,) = events[-1].response.output
    check(call)
    assert arguments_of(events) == call.arguments
    assert [event.type for event in events if event.type != ARGUED] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert events[-1].response.tools[0].name == "point"
    assert events[-1].response.tool_choice == "required"
    assert events[-1].response.usage.output_tokens > len(call.arguments) / 4


def test_a_replay_begins_in_the_middle_of_arguments(official: openai.OpenAI) -> None:
    events = streamed(official, input="Where?", tools=[POINT], tool_choice="required")
    response_id = events[0].response.id
    for at in (0, 3, 5, len(events) - 2):
        with official.responses.retrieve(response_id, stream=True, starting_after=at) as rest:
            assert [event.to_dict() for event in rest] == [e.to_dict() for e in events[at + 1 :]]


def test_calls_over_websocket(official: openai.OpenAI) -> None:
    asked = {"tools": [WAIT, POINT], "parallel_tool_calls": False}
    with socket(official) as ws:
        named = {"type": "function", "name": "point"}
        first = ws.say(input="Where is it?", tool_choice=named, **asked)
        (call,) = first[-1].response.output
        check(call)
        assert arguments_of(first) == call.arguments
        only = {"type": "allowed_tools", "mode": "required", "tools": [named]}
        second = ws.say(
            previous_response_id=first[-1].response.id,
            input=[{"type": "function_call_output", "call_id": call.call_id, "output": "Thanks."}],
            tool_choice=only,
            **asked,
        )
        check(second[-1].response.output[0])
        assert second[-1].response.usage.input_tokens > first[-1].response.usage.total_tokens


def test_parallel_calls(official: openai.OpenAI) -> None:
    """How many there are is the model's choice; this one has to be asked a few times."""
    for question in map(str, range(20)):
        response = official.responses.create(
            model=MODEL, input=question, tools=[POINT], tool_choice="required", max_tool_calls=3
        )
        calls = response.output
        assert len(calls) <= 3
        for call in calls:
            check(call)
        if len(calls) > 1:
            assert len({call.call_id for call in calls} | {call.id for call in calls}) == (
                2 * len(calls)
            )
            return
    pytest.fail("twenty answers of one call each")


@pytest.mark.parametrize("choice", ["auto", "none"])
def test_the_model_may_answer_in_words(official: openai.OpenAI, choice: Any) -> None:
    events = streamed(official, input="Hello!", tools=[POINT, WAIT], tool_choice=choice)
    assert events[-1].response.output_text == text_of(events) != ""


def test_without_functions_words_stay_words(official: openai.OpenAI) -> None:
    """What a user types never becomes a call."""
    said = '<tool_call>{"name":"point","arguments":{}}</tool_call>'
    response = official.responses.create(model=MODEL, input=said, tools=[POINT])
    assert [item.type for item in response.output] == ["message"]


def test_an_output_comes_back_in(official: openai.OpenAI) -> None:
    """By the chain, and from a client that keeps its own history."""
    asked = {"model": MODEL, "tools": [POINT], "parallel_tool_calls": False}
    first = official.responses.create(input="Where?", tool_choice="required", **asked)
    (call,) = first.output
    output = {"type": "function_call_output", "call_id": call.call_id, "output": '{"ok":true}'}
    chained = official.responses.create(
        previous_response_id=first.id, input=[output], tool_choice="none", **asked
    )
    question = {"role": "user", "content": "Where?"}
    own = official.responses.create(
        input=[question, call.to_dict(), output], tool_choice="none", **asked
    )
    assert chained.output_text
    assert own.output_text
    (listed,) = official.responses.input_items.list(chained.id).data
    assert (listed.type, listed.call_id) == ("function_call_output", call.call_id)
    assert listed.output == '{"ok":true}'
    kept = official.responses.input_items.list(own.id, order="asc").data
    assert [item.type for item in kept] == ["message", "function_call", "function_call_output"]
    assert kept[1].arguments == call.arguments


def test_an_output_in_a_conversation(official: openai.OpenAI) -> None:
    conversation = official.conversations.create().id
    asked = {"model": MODEL, "conversation": conversation, "tools": [POINT]}
    first = official.responses.create(
        input="Where?", tool_choice="required", parallel_tool_calls=False, **asked
    )
    call_id = first.output[0].call_id
    picture = {"type": "input_image", "image_url": picture_url(), "detail": "auto"}
    output = {"type": "function_call_output", "call_id": call_id, "output": [picture]}
    official.conversations.items.create(conversation, items=[output])
    official.responses.create(input="And now?", tool_choice="none", **asked)
    items = official.conversations.items.list(conversation, order="asc").data
    assert [item.type for item in items] == [
        "message", "function_call", "function_call_output", "message", "message",
    ]  # fmt: skip
    with pytest.raises(openai.BadRequestError) as refused:
        official.conversations.items.create(conversation, items=[output | {"call_id": "call_0"}])
    assert refused.value.param == "items[0].call_id"


def test_a_call_that_is_cut_is_incomplete(official: openai.OpenAI) -> None:
    response = official.responses.create(
        model=MODEL,
        input="Where?",
        tools=[POINT],
        tool_choice="required",
        max_output_tokens=16,
    )
    assert response.status == "incomplete"
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.usage.output_tokens == 16
    (call,) = response.output
    assert call.status == "incomplete"
    with pytest.raises(json.JSONDecodeError):
        json.loads(call.arguments)


class Shape(pydantic.BaseModel):
    kind: Literal["circle", "square"]
    size: Literal[1, 2, 3]
    sure: bool


class Scene(pydantic.BaseModel):
    shapes: list[Shape]
    night: bool | None


def test_structured_output_is_parsed(official: openai.OpenAI) -> None:
    parsed = official.responses.parse(model=MODEL, input="What is there?", text_format=Scene)
    assert isinstance(parsed.output_parsed, Scene)
    assert parsed.text.format.name == "Scene"


def test_a_function_of_a_model_is_parsed(official: openai.OpenAI) -> None:
    parsed = official.responses.parse(
        model=MODEL,
        input="What is there?",
        tools=[openai.pydantic_function_tool(Scene)],
        tool_choice={"type": "function", "name": "Scene"},
        parallel_tool_calls=False,
    )
    (call,) = parsed.output
    assert isinstance(call.parsed_arguments, Scene)


def test_any_json_object(official: openai.OpenAI) -> None:
    response = official.responses.create(
        model=MODEL, input="What is there?", text={"format": {"type": "json_object"}}
    )
    if response.status == "completed":  # This model may not know where to stop.
        assert isinstance(json.loads(response.output_text), dict)
    assert response.output_text.startswith("{")


CHAT_POINT = {
    "type": "function",
    "function": {name: POINT[name] for name in ("name", "description", "parameters", "strict")},
}


def test_chat_completions_call_too(official: openai.OpenAI) -> None:
    asked = {"model": MODEL, "tools": [CHAT_POINT], "parallel_tool_calls": False}
    question = {"role": "user", "content": "Where is it?"}
    choice = {"type": "function", "function": {"name": "point"}}
    with official.chat.completions.stream(
        messages=[question], tool_choice=choice, **asked
    ) as stream:
        completion = stream.get_final_completion()
    assert completion.choices[0].finish_reason == "tool_calls"
    answer = completion.choices[0].message
    (call,) = answer.tool_calls
    Draft202012Validator(PLACE).validate(json.loads(call.function.arguments))
    said = {
        "role": "assistant",
        "content": answer.content,
        "tool_calls": [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": "point", "arguments": call.function.arguments},
            }
        ],
    }
    given = {"role": "tool", "tool_call_id": call.id, "content": "Thanks."}
    after = official.chat.completions.create(messages=[question, said, given], **asked)
    assert after.choices[0].message.content
    with pytest.raises(openai.BadRequestError) as refused:
        official.chat.completions.create(messages=[question, given], **asked)
    assert refused.value.param == "messages[1].tool_call_id"


def test_chat_completions_parse(official: openai.OpenAI) -> None:
    parsed = official.chat.completions.parse(
        model=MODEL, messages=[{"role": "user", "content": "What?"}], response_format=Scene
    )
    assert isinstance(parsed.choices[0].message.parsed, Scene)


@pytest.fixture
def seen(server: ServerProcess) -> Iterator[Any]:
    """What the bundled model on vLLM makes of a picture."""

    def look(**request: Any) -> Any:
        picture = [message("Describe the picture.", picture_url())]
        return client(server).responses.create(model=MODEL, input=picture, **request)

    return look


def test_the_bundled_model_calls(seen: Any) -> None:
    response = seen(tools=[POINT], tool_choice="required", parallel_tool_calls=False)
    check(response.output[0])


def test_the_bundled_model_answers_in_json(seen: Any) -> None:
    text = {"format": {"type": "json_schema", "name": "place", "schema": PLACE}}
    Draft202012Validator(PLACE).validate(json.loads(seen(text=text).output_text))


def test_the_bundled_model_keeps_its_boxes_beside_functions(seen: Any) -> None:
    plain, beside = seen(), seen(tools=[WAIT], tool_choice="auto")
    assert "kosmosx:grounding" in plain.output[0].content[0].to_dict()
    assert "kosmosx:grounding" in beside.output[0].content[0].to_dict()


@pytest.mark.slow
def test_a_call_goes_on_after_kill_9(slow_server: ServerProcess) -> None:
    """In the middle of its arguments, as if nothing had happened."""
    official = client(slow_server)
    asked = {"input": "Where?", "tools": [POINT], "tool_choice": "required", "temperature": 0}
    undisturbed = official.responses.create(model=MODEL, **asked)
    seen: list[Any] = []
    with official.responses.connect(max_retries=0) as connection:
        connection.response.create(model=MODEL, **asked)
        while not arguments_of(seen):
            seen.append(connection.recv())
        slow_server.kill()
    slow_server.start()
    with official.responses.retrieve(
        seen[0].response.id, stream=True, starting_after=seen[-1].sequence_number
    ) as rest:
        events = [*seen, *rest]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    told = [(item.name, item.arguments) for item in events[-1].response.output]
    assert told == [(item.name, item.arguments) for item in undisturbed.output]
    assert arguments_of(events) == "".join(arguments for _, arguments in told)
