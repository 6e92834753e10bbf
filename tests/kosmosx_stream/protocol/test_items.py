import json
from typing import Any

import msgspec
import pytest
from openai.types.responses import (
    ResponseFunctionToolCallItem,
    ResponseFunctionToolCallOutputItem,
    ResponseInputImage,
    ResponseOutputMessage,
)
from openai.types.responses.response_input_message_item import ResponseInputMessageItem

from conversation.items import (
    Answer,
    FunctionCall,
    FunctionCallOutput,
    Grounding,
    Image,
    Item,
    Message,
    Text,
)
from kosmosx_stream.protocol.items import input_items, item_list
from kosmosx_stream.protocol.requests import decode_create

USER = Message(id="msg_u", role="user", content=(Text("What?"), Image("ab12", "low")))
ASSISTANT = Message(
    id="msg_a",
    role="assistant",
    content=(Answer("A dog.", (Grounding("A dog", 0, 5, ((0.0, 0.1, 0.2, 0.3),)),)),),
    status="incomplete",
)
TOLD = Message(id="msg_t", role="assistant", content=(Text("I said so."),))
SYSTEM = Message(id="msg_s", role="system", content=(Text("Be brief."),))
CALL = FunctionCall(id="fc_1", call_id="call_1", name="look", arguments='{"at":"dog"}')
LOOKED = FunctionCallOutput(id="fco_1", call_id="call_1", output='{"seen":true}')
SHOWN = FunctionCallOutput(id="fco_2", call_id="call_1", output=(Text("Here."), Image("ab12")))
URLS = {"ab12": "data:image/png;base64,AAAA"}


def wire(*items: Item) -> list[dict[str, Any]]:
    return json.loads(msgspec.json.encode(input_items(items, URLS.get)))


def test_items_are_what_the_specification_says(validate) -> None:
    for item in wire(USER, ASSISTANT, TOLD, SYSTEM, CALL, LOOKED):
        validate("ItemField", item)


def test_a_picture_comes_back_as_a_data_url() -> None:
    (item,) = wire(USER)
    assert item["content"] == [
        {"type": "input_text", "text": "What?"},
        {
            "type": "input_image",
            "image_url": "data:image/png;base64,AAAA",
            "detail": "low",
            "kosmosx:image_id": "ab12",
        },
    ]
    parsed = ResponseInputMessageItem.model_validate(item)
    parsed.model_dump()


def test_a_picture_that_is_gone_keeps_its_id(validate) -> None:
    message = Message(id="m", role="user", content=(Image("gone"),))
    (item,) = wire(message)
    validate("ItemField", item)
    (part,) = item["content"]
    assert (part["image_url"], part["kosmosx:image_id"]) == (None, "gone")
    assert ResponseInputImage.model_validate(part).image_url is None


def test_an_answer_has_its_boxes() -> None:
    (item,) = wire(ASSISTANT)
    assert item["status"] == "incomplete"
    assert item["content"] == [
        {
            "type": "output_text",
            "text": "A dog.",
            "annotations": [],
            "logprobs": [],
            "kosmosx:grounding": [
                {"phrase": "A dog", "start": 0, "end": 5, "boxes": [[0.0, 0.1, 0.2, 0.3]]}
            ],
        }
    ]
    ResponseOutputMessage.model_validate(item).model_dump()


def test_text_of_an_assistant_is_output() -> None:
    (item,) = wire(TOLD)
    assert item["content"][0]["type"] == "output_text"
    assert "kosmosx:grounding" not in item["content"][0]


def test_calls_and_what_they_gave() -> None:
    call, looked, shown = wire(CALL, LOOKED, SHOWN)
    assert call == {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "call_1",
        "name": "look",
        "arguments": '{"at":"dog"}',
        "status": "completed",
    }
    assert looked == {
        "type": "function_call_output",
        "id": "fco_1",
        "call_id": "call_1",
        "output": '{"seen":true}',
        "status": "completed",
    }
    assert [part["type"] for part in shown["output"]] == ["input_text", "input_image"]
    ResponseFunctionToolCallItem.model_validate(call).model_dump()
    for item in (looked, shown):
        ResponseFunctionToolCallOutputItem.model_validate(item).model_dump()


def test_items_can_be_sent_back_as_input() -> None:
    items = wire(SYSTEM, USER, ASSISTANT, TOLD)
    request = decode_create(json.dumps({"model": "k", "input": items}))
    assert [message.role for message in request.messages] == [
        "system",
        "user",
        "assistant",
        "assistant",
    ]


@pytest.mark.parametrize(("count", "first", "last"), [(0, None, None), (2, "msg_u", "msg_a")])
def test_lists(count: int, first: str | None, last: str | None) -> None:
    items = input_items((USER, ASSISTANT)[:count], URLS.get)
    page = json.loads(msgspec.json.encode(item_list(items, has_more=True)))
    assert (page["object"], page["first_id"], page["last_id"]) == ("list", first, last)
    assert (len(page["data"]), page["has_more"]) == (count, True)
