"""What is brief is done at once; what is not, in a thread."""

import threading

import msgspec
import pytest

from conversation.items import Message, Text
from kosmosx_stream.admission.aside import BRIEF_CHARACTERS, aside, is_brief
from kosmosx_stream.protocol.requests import CreateResponse, decode_create

TOOL = {"type": "function", "name": "look", "parameters": {"type": "object"}}
SCHEMA = {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}}


def request(**more: object) -> CreateResponse:
    asked = {"model": "kosmos-x", "input": "Hello!"}
    return decode_create(msgspec.json.encode({**asked, **more}))


def said(characters: int) -> list[Message]:
    return [Message(id="msg_1", role="user", content=(Text("x" * characters),))]


def test_a_few_lines_are_brief() -> None:
    assert is_brief(request(), said(200))


@pytest.mark.parametrize(
    "asked",
    [{"tools": [TOOL]}, {"text": SCHEMA}, {"instructions": "x" * BRIEF_CHARACTERS}],
    ids=["tools", "schema", "instructions"],
)
def test_what_may_take_long_is_not(asked: dict[str, object]) -> None:
    assert not is_brief(request(**asked), said(200))


def test_long_histories_are_not() -> None:
    assert not is_brief(request(), said(BRIEF_CHARACTERS // 2) * 2)


@pytest.mark.parametrize("brief", [True, False])
async def test_only_what_is_brief_is_done_here(*, brief: bool) -> None:
    assert (await aside(brief, threading.get_ident) == threading.get_ident()) is brief
