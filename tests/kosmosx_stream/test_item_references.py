"""Items that a request names by their ids, as clients do that keep a stored history."""

from typing import Any

import openai
import pytest

from kosmosx_stream.ids import answer_id, input_item_id, new_id, response_of
from tests.conftest import Twins
from tests.kosmosx_stream.clients import MODEL, client, message, picture_url
from tests.kosmosx_stream.transports.sockets import Socket

SHORT: dict[str, Any] = {"model": MODEL, "max_output_tokens": 16}


@pytest.fixture
def official(twins: Twins) -> openai.OpenAI:
    return client(twins.first)


def reference(item: Any) -> dict[str, str]:
    return {"type": "item_reference", "id": item.id}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def test_an_item_s_id_tells_its_response() -> None:
    response_id = new_id("resp")
    assert response_of(answer_id(response_id)) == response_id
    assert response_of(input_item_id("fco", response_id, 3)) == response_id
    assert response_of(f"fc_{answer_id(response_id).removeprefix('msg_')}_0") == response_id
    assert response_of("nonsense") == "resp_"


def test_an_answer_is_referred_to(twins: Twins, official: openai.OpenAI) -> None:
    """On another server, too; the prompt is as if it had been sent again."""
    first = official.responses.create(**SHORT, input="My name is Ada.")
    words = [{"type": "output_text", "text": first.output_text, "annotations": []}]
    sent = {"type": "message", "role": "assistant", "content": words}
    spoken = [user("My name is Ada."), sent, user("Who am I?")]
    named = [user("My name is Ada."), {"id": first.output[0].id}, user("Who am I?")]
    whole = official.responses.create(**SHORT, input=spoken)
    there = client(twins.second, twins.first.key).responses.create(**SHORT, input=named)
    assert there.output_text == whole.output_text
    assert there.usage.input_tokens == whole.usage.input_tokens
    items = official.responses.input_items.list(there.id, order="asc").data
    assert [item.role for item in items] == ["user", "assistant", "user"]
    assert items[1].content[0].text == first.output_text
    # What was referred to is an item of its own there, and can be referred to in its turn.
    assert items[1].id != first.output[0].id
    counted = official.responses.input_tokens.count(model=MODEL, input=[reference(items[1])])
    assert counted.input_tokens > 0


def test_pictures_and_calls_are_referred_to(official: openai.OpenAI) -> None:
    parameters = {"type": "object", "properties": {}, "additionalProperties": False}
    tool = {"type": "function", "name": "look", "parameters": parameters}
    asked = official.responses.create(
        model=MODEL,
        input=[message("Look!", picture_url())],
        tools=[tool],
        tool_choice="required",
        parallel_tool_calls=False,
    )
    (question,) = official.responses.input_items.list(asked.id).data
    (call,) = asked.output
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "A dog."}
    told = [reference(question), reference(call), output]
    answer = official.responses.create(**SHORT, input=told)
    items = official.responses.input_items.list(answer.id, order="asc").data
    assert [item.type for item in items] == ["message", "function_call", "function_call_output"]
    assert items[0].content[1].type == "input_image"
    with pytest.raises(openai.BadRequestError):
        official.responses.create(**SHORT, input=[reference(question), output])


def test_items_of_a_conversation_are_referred_to_in_it(official: openai.OpenAI) -> None:
    conversation = official.conversations.create(items=[user("My name is Ada.")])
    items = official.conversations.items
    (said,) = items.list(conversation.id).data
    (again,) = items.create(conversation.id, items=[reference(said)]).data
    assert (again.content, again.id != said.id) == (said.content, True)
    answer = official.responses.create(**SHORT, input=[reference(said)], conversation=conversation)
    assert len(items.list(conversation.id).data) == 4
    copied = official.conversations.create(items=[reference(answer.output[0])])
    assert items.list(copied.id).data[0].content[0].text == answer.output_text


@pytest.mark.parametrize("item_id", ["msg_0", "resp_", "x", "msg_" + "0" * 48, "é" * 300])
def test_what_is_not_there_is_named(official: openai.OpenAI, item_id: str) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        official.responses.create(**SHORT, input=[user("Hi"), {"id": item_id}])
    assert (missing.value.code, missing.value.param) == ("item_not_found", "input[1].id")


def test_only_what_is_stored_is_found_and_only_by_its_account(
    twins: Twins, official: openai.OpenAI
) -> None:
    kept = official.responses.create(**SHORT, input="Hi")
    stranger = client(twins.first, twins.first.create_key())
    with pytest.raises(openai.NotFoundError):
        stranger.responses.create(**SHORT, input=[reference(kept.output[0])])
    official.responses.delete(kept.id)
    unstored = official.responses.create(**SHORT, input="Hi", store=False)
    for gone in (kept, unstored):
        with pytest.raises(openai.NotFoundError):
            official.responses.create(**SHORT, input=[reference(gone.output[0])])


def test_what_is_not_stored_is_found_by_its_continuation(official: openai.OpenAI) -> None:
    with official.responses.connect() as connection:
        ws = Socket(connection)
        first = ws.ask("Hi", store=False).response
        named = [user("You said:"), reference(first.output[0])]
        connection.response.create(**SHORT, input=named, store=False, previous_response_id=first.id)
        (end,) = ws.ends(1)
    assert end.type == "response.incomplete"
