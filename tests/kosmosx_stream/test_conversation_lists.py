"""The account's conversations over two servers: searched, branched, and followed as they change."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.conftest import Twins
from tests.kosmosx_stream.clients import client
from tests.kosmosx_stream.test_conversations import SHORT, assistant, live_turn, texts, user
from tests.server_process import ServerProcess


@pytest.fixture(scope="module")
def key(twin_processes: Twins) -> str:
    """Of an account of its own."""
    return str(twin_processes.first.create_key())


@pytest.fixture
def official(twins: Twins, key: str) -> openai.OpenAI:
    return client(twins.first).with_options(api_key=key)


def search(official: openai.OpenAI, words: str, **query: Any) -> Any:
    asked = {"kosmosx:search": words, **query}
    return official.get("/conversations", cast_to=object, options={"params": asked})


def test_what_was_said_is_found(official: openai.OpenAI) -> None:
    lines = [
        official.conversations.create(items=[user(f"Number {n}?"), assistant(f"A boat, {n}.")])
        for n in range(3)
    ]
    page = search(official, "BOAT, 1")
    (hit,) = page["data"]
    assert hit["id"] == lines[1].id
    found = hit["kosmosx:found"]
    assert (found["before"], found["words"], found["after"]) == ("A ", "boat, 1", ".")
    assert page["has_more"] is False
    first = search(official, "boat", limit=2)
    assert [each["id"] for each in first["data"]] == [lines[2].id, lines[1].id]
    rest = search(official, "boat", after=first["last_id"])
    assert [each["id"] for each in rest["data"]] == [lines[0].id]
    assert search(official, "No. such thing")["data"] == []
    for words in ("", "x" * 201):
        with pytest.raises(openai.BadRequestError) as refused:
            search(official, words)
        assert refused.value.param == "kosmosx:search"


def test_a_conversation_branches_after_an_earlier_response(official: openai.OpenAI) -> None:
    line = official.conversations.create()
    first, second = (
        official.responses.create(**SHORT, input=words, conversation=line.id)
        for words in ("One?", "Two?")
    )
    alone = official.responses.create(**SHORT, input="Three?", previous_response_id=first.id)
    branched = official.responses.create(
        **SHORT, input="Three?", conversation=line.id, previous_response_id=first.id
    )
    assert branched.output_text == alone.output_text
    said = texts(official.conversations.items.list(line.id, order="asc").data)
    assert said == ["One?", first.output_text, "Three?", branched.output_text]
    # What was left is still there, and can be gone on with.
    back = official.responses.create(
        **SHORT, input="Four?", conversation=line.id, previous_response_id=second.id
    )
    said = texts(official.conversations.items.list(line.id, order="asc").data)
    assert said[2:] == ["Two?", second.output_text, "Four?", back.output_text]

    official.conversations.items.create(line.id, items=[user("Wait.")])
    for request, code in (
        ({"previous_response_id": first.id}, "items_pending"),
        ({"previous_response_id": "resp_none"}, "items_pending"),
    ):
        with pytest.raises(openai.ConflictError) as refused:
            official.responses.create(**SHORT, input="Five?", conversation=line.id, **request)
        assert refused.value.code == code
    other = official.conversations.create()
    with pytest.raises(openai.BadRequestError) as unknown:
        official.responses.create(
            **SHORT, input="Six?", conversation=other.id, previous_response_id="resp_none"
        )
    assert unknown.value.code == "previous_response_not_found"


def changes(server: ServerProcess, key: str) -> Iterator[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {key}"}
    url = f"{server.base_url}/v1/conversations/events"
    with httpx.stream("GET", url, headers=headers, timeout=30) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def test_changes_are_told_on_every_server(official: openai.OpenAI, twins: Twins, key: str) -> None:
    news = changes(twins.second, key)
    assert next(news)["conversation_id"] is None  # Look at everything first.
    line = official.conversations.create()
    told = next(news)
    assert (told["type"], told["conversation_id"], told["response_id"]) == (
        "kosmosx:conversation.changed", line.id, None,
    )  # fmt: skip
    elsewhere = client(twins.first).with_options(api_key=twins.first.create_key())
    elsewhere.conversations.create()
    response = official.responses.create(**SHORT, input="Hi", conversation=line.id)
    began, ended = next(news), next(news)
    assert (began["conversation_id"], began["response_id"]) == (line.id, response.id)
    assert (ended["conversation_id"], ended["response_id"]) == (line.id, None)
    official.conversations.update(line.id, metadata={"title": "Boats"})
    assert next(news)["conversation_id"] == line.id
    official.conversations.delete(line.id)
    gone = next(news)
    assert (gone["conversation_id"], gone["deleted"]) == (line.id, True)


def test_a_conversation_names_its_live_response(twins: Twins) -> None:
    official = client(twins.second)
    line = official.conversations.create()
    with live_turn(twins.first, line.id) as events:
        found = official.conversations.retrieve(line.id).to_dict()
        assert found["kosmosx:live_response_id"] == events[0].response.id
    assert official.conversations.retrieve(line.id).to_dict()["kosmosx:live_response_id"] is None
