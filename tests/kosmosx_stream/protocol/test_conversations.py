"""What clients may say of conversations, and what is refused by the name of its field."""

import json
from typing import Any

import pytest

from kosmosx_stream.protocol.conversations import (
    MAX_ITEMS,
    decode_conversation,
    decode_items,
    decode_update,
)
from kosmosx_stream.protocol.errors import InvalidRequest
from kosmosx_stream.protocol.inputs import InputMessage, InputText, OutputText

ITEM = {"role": "user", "content": "x"}


def test_a_conversation_may_begin_with_nothing() -> None:
    for body in (b"", b"{}", b'{"items":null,"metadata":null}', b'{"items":[]}'):
        created = decode_conversation(body)
        assert (created.items, created.metadata) == ((), {})


def test_a_conversation_may_begin_with_items_of_both_sides() -> None:
    answer = {
        "type": "message",
        "id": "msg_1",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "y", "annotations": []}],
    }
    created = decode_conversation(json.dumps({"items": [ITEM, answer], "metadata": {"a": "b"}}))
    assert created.metadata == {"a": "b"}
    assert created.items == (
        InputMessage("user", (InputText("x"),)),
        InputMessage("assistant", (OutputText("y"),)),
    )


@pytest.mark.parametrize("decode", [decode_conversation, decode_items])
@pytest.mark.parametrize(
    ("items", "code", "param"),
    [
        ([ITEM] * (MAX_ITEMS + 1), "array_above_max_length", "items"),
        ({}, "invalid_type", "items"),
        ([ITEM, 1], "invalid_type", "items[1]"),
        ([{"role": "user"}], "missing_required_parameter", "items[0].content"),
        ([{"type": "item_reference", "id": ""}], "empty_string", "items[0].id"),
    ],
)
def test_faulty_items(decode: Any, items: Any, code: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode(json.dumps({"items": items}))
    assert (refused.value.code, refused.value.param) == (code, param)


@pytest.mark.parametrize("body", [b"{}", b'{"items":null}', b'{"items":[]}'])
def test_items_to_put_in_are_needed(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode_items(body)
    assert (refused.value.code, refused.value.param) == ("missing_required_parameter", "items")
    assert len(decode_items(json.dumps({"items": [ITEM] * MAX_ITEMS}))) == MAX_ITEMS


def test_metadata_is_replaced_or_emptied() -> None:
    assert decode_update(b'{"metadata":{"a":"b"}}') == {"a": "b"}
    assert decode_update(b'{"metadata":null}') == {}
    for body, code in ((b"{}", "missing_required_parameter"), (b'{"metadata":1}', "invalid_type")):
        with pytest.raises(InvalidRequest) as refused:
            decode_update(body)
        assert (refused.value.code, refused.value.param) == (code, "metadata")
