import json
from typing import Any

import msgspec
import pytest
from openai.types.responses import ResponseInputImage, ResponseOutputMessage
from openai.types.responses.response_input_message_item import ResponseInputMessageItem

from conversation.items import Answer, Grounding, Image, Message, Text
from kosmosx_stream.protocol.requests import decode_create
from kosmosx_stream.protocol.responses import (
    Echo,
    echoed_fields,
    input_items,
    item_list,
    read_echo,
)

USER = Message(id="msg_u", role="user", content=(Text("What?"), Image("ab12", "low")))
ASSISTANT = Message(
    id="msg_a",
    role="assistant",
    content=(Answer("A dog.", (Grounding("A dog", 0, 5, ((0.0, 0.1, 0.2, 0.3),)),)),),
    status="incomplete",
)
TOLD = Message(id="msg_t", role="assistant", content=(Text("I said so."),))
SYSTEM = Message(id="msg_s", role="system", content=(Text("Be brief."),))
URLS = {"ab12": "data:image/png;base64,AAAA"}


def wire(*messages: Message) -> list[dict[str, Any]]:
    return json.loads(msgspec.json.encode(input_items(messages, URLS.get)))


def test_items_are_what_the_specification_says(validate) -> None:
    for item in wire(USER, ASSISTANT, TOLD, SYSTEM):
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


def test_echo_round_trip() -> None:
    body = {
        "model": "k",
        "input": "x",
        "instructions": "Be brief.",
        "max_output_tokens": 20,
        "temperature": 0.5,
        "metadata": {"a": "b"},
        "reasoning": {"effort": "low"},
        "tool_choice": "none",
    }
    echo = read_echo(echoed_fields(decode_create(json.dumps(body))))
    for name in ("instructions", "max_output_tokens", "temperature", "metadata", "tool_choice"):
        assert getattr(echo, name) == body[name]
    assert echo.reasoning is not None
    assert (echo.reasoning.effort, echo.reasoning.summary) == ("low", None)


def test_an_echo_of_another_version_is_read() -> None:
    assert read_echo(b"") == Echo()
    assert read_echo(b'{"user":"u","new":1}').user == "u"
