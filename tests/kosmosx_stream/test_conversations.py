"""Conversations and their items by the official client, over two servers that share a Redis."""

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from PIL import Image

from tests.conftest import Twins
from tests.kosmosx_stream.clients import MODEL, client, message, picture_url, text_of
from tests.server_process import ServerProcess

SHORT = {"model": MODEL, "max_output_tokens": 16}
LONG = {"model": MODEL, "max_output_tokens": 1500}
PICTURES = ["message.input_image.image_url"]


def user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "role": "assistant", "content": content, "status": "completed"}


def texts(items: Any) -> list[str]:
    return [part.text for item in items for part in item.content if part.type != "input_image"]


def said(items: Any) -> list[tuple[str, str]]:
    return list(zip([item.role for item in items], texts(items), strict=True))


@pytest.fixture
def official(twins: Twins) -> openai.OpenAI:
    return client(twins.first)


@contextmanager
def live_turn(server: ServerProcess, conversation_id: str) -> Iterator[list[Any]]:
    """A turn that has begun and goes on; yields its events so far."""
    with client(server).responses.create(
        **LONG, input="Tell me much.", conversation=conversation_id, stream=True
    ) as stream:
        events = []
        for event in stream:
            events.append(event)
            if event.type == "response.output_text.delta":
                break
        yield events
        client(server).responses.cancel(events[0].response.id)


# -- one conversation --------------------------------------------------------------------------


def test_a_conversation_from_its_beginning_to_its_end(official: openai.OpenAI) -> None:
    created = official.conversations.create(metadata={"topic": "boats"})
    assert (created.object, created.metadata) == ("conversation", {"topic": "boats"})
    assert official.conversations.retrieve(created.id) == created
    renamed = official.conversations.update(created.id, metadata={"topic": "sails"})
    assert renamed.metadata == {"topic": "sails"}
    assert renamed.created_at == created.created_at
    response = official.responses.create(**SHORT, input="Hi", conversation=created.id)
    gone = official.conversations.delete(created.id)
    assert gone.to_dict() == {"id": created.id, "object": "conversation.deleted", "deleted": True}
    for use in (
        lambda: official.conversations.retrieve(created.id),
        lambda: official.conversations.delete(created.id),
        lambda: official.conversations.items.list(created.id),
        lambda: official.responses.create(**SHORT, input="Hi", conversation=created.id),
    ):
        with pytest.raises(openai.NotFoundError) as refused:
            use()
        assert refused.value.code == "conversation_not_found"
    # Items and responses outlive it, as OpenAI documents.
    assert official.responses.retrieve(response.id).output_text == response.output_text
    official.responses.create(**SHORT, input="And?", previous_response_id=response.id)


def test_items_are_put_in_listed_and_taken_out(official: openai.OpenAI) -> None:
    conversation = official.conversations.create(items=[user("One?"), assistant("Two.")])
    items = official.conversations.items
    added = items.create(conversation.id, items=[user("Three?"), user("Four?")])
    assert (added.object, added.has_more) == ("list", False)
    assert (added.first_id, added.last_id) == (added.data[0].id, added.data[1].id)
    official.responses.create(**SHORT, input="Five?", conversation=conversation.id)
    listed = items.list(conversation.id, order="asc").data
    before = [("user", "One?"), ("assistant", "Two."), ("user", "Three?"), ("user", "Four?")]
    assert said(listed)[:5] == [*before, ("user", "Five?")]
    assert listed[5].role == "assistant"
    assert items.list(conversation.id).data == listed[::-1]
    for item in listed:
        assert items.retrieve(item.id, conversation_id=conversation.id) == item
    assert items.delete(added.data[0].id, conversation_id=conversation.id) == conversation
    assert items.list(conversation.id, order="asc").data == [*listed[:2], *listed[3:]]
    for use in (items.delete, items.retrieve):
        with pytest.raises(openai.NotFoundError) as refused:
            use(added.data[0].id, conversation_id=conversation.id)
        assert (refused.value.code, refused.value.param) == ("item_not_found", "item_id")


def test_pages_follow_each_other(official: openai.OpenAI) -> None:
    conversation = official.conversations.create(
        items=[part for n in range(5) for part in (user(f"{n}?"), assistant(f"{n}."))]
    )
    everything = list(official.conversations.items.list(conversation.id, order="asc", limit=3))
    assert texts(everything) == [f"{n}{mark}" for n in range(5) for mark in "?."]
    page = official.conversations.items.list(conversation.id, limit=4)
    assert (page.has_more, page.last_id) == (True, everything[6].id)
    rest = official.conversations.items.list(conversation.id, limit=6, after=page.last_id)
    assert (rest.has_more, len(rest.data)) == (False, 6)
    end = official.conversations.items.list(conversation.id, after=everything[0].id)
    assert (end.has_more, end.data, end.last_id) == (False, [], None)


async def test_the_async_client_pages_too(twins: Twins) -> None:
    url, key = f"{twins.first.base_url}/v1", twins.first.key
    async with openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0) as official:
        conversation = await official.conversations.create(items=[user("a"), user("b")])
        items = official.conversations.items
        await items.create(conversation.id, items=[user("c")])
        found = [item async for item in items.list(conversation.id, limit=1)]
        assert texts(found) == ["c", "b", "a"]
        await items.delete(found[0].id, conversation_id=conversation.id)
        assert (await items.retrieve(found[1].id, conversation_id=conversation.id)) == found[1]
        await official.conversations.delete(conversation.id)


def test_pictures_come_back_as_data_urls(official: openai.OpenAI) -> None:
    conversation = official.conversations.create(items=[message("What is it?", picture_url())])
    items = official.conversations.items
    (unasked,) = items.list(conversation.id).data
    assert unasked.content[1].image_url is None
    (item,) = items.list(conversation.id, include=PICTURES).data
    assert items.retrieve(item.id, conversation_id=conversation.id, include=PICTURES) == item
    text, image = item.content
    assert (text.text, image.type, image.detail) == ("What is it?", "input_image", "auto")
    head, _, data = image.image_url.partition(",")
    assert head == "data:image/png;base64"
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert picture.getpixel((55, 105)) == (220, 30, 30)
    # Sent back, it is the same picture.
    again = items.create(conversation.id, items=[item.to_dict()], include=PICTURES)
    assert again.data[0].content == item.content


# -- what the model is told --------------------------------------------------------------------
#
# Each token of the engine's answer depends on all tokens of the prompt: equal answers were given
# to equal prompts.


def answer_to(official: openai.OpenAI, *items: dict[str, Any], **request: Any) -> tuple[str, int]:
    response = official.responses.create(**SHORT, input=list(items), **request)
    return response.output_text, response.usage.input_tokens


def test_items_are_told_as_if_they_came_with_the_request(official: openai.OpenAI) -> None:
    items = [user("My name is Ada."), assistant("Hello Ada."), user("Listen."), user("Well?")]
    expected = answer_to(official, *items)
    conversation = official.conversations.create(items=items[:1])
    official.conversations.items.create(conversation.id, items=items[1:3])
    assert answer_to(official, items[3], conversation=conversation.id) == expected


def test_deleted_items_are_not_told(official: openai.OpenAI) -> None:
    kept = [user("My name is Ada."), assistant("Hello Ada.")]
    expected = answer_to(official, *kept, user("Well?"))
    conversation = official.conversations.create(items=kept)
    secret = official.responses.create(**SHORT, input="A secret.", conversation=conversation.id)
    added = official.conversations.items.create(conversation.id, items=[user("Another.")])
    (question, _) = official.conversations.items.list(conversation.id, limit=3).data[1:]
    assert secret.output[0].id == question.id
    newest = official.conversations.items.list(conversation.id, limit=3).data
    assert newest[0].id == added.data[0].id
    for item in newest:
        official.conversations.items.delete(item.id, conversation_id=conversation.id)
    assert answer_to(official, user("Well?"), conversation=conversation.id) == expected


def test_a_picture_of_an_item_is_billed_once(official: openai.OpenAI) -> None:
    conversation = official.conversations.create(items=[message("Look.", picture_url())])
    counts = []
    for _ in range(2):
        response = official.responses.create(**SHORT, input="Hm?", conversation=conversation.id)
        counts.append(getattr(response, "kosmosx:usage")["images"])
    assert counts == [1, 0]


# -- the account's conversations ---------------------------------------------------------------


def listed(official: openai.OpenAI, **query: Any) -> Any:
    """OpenAI has no such list."""
    return official.get("/conversations", cast_to=object, options={"params": query})


def test_conversations_are_listed_by_their_last_turn(official: openai.OpenAI) -> None:
    old, new = (official.conversations.create(metadata={"n": str(n)}) for n in range(2))
    page = listed(official, limit=1)
    assert [each["id"] for each in page["data"]] == [new.id]
    assert page["data"][0]["metadata"] == {"n": "1"}
    assert (page["first_id"], page["last_id"], page["has_more"]) == (new.id, new.id, True)
    official.responses.create(**SHORT, input="Hello!", conversation=old.id)
    assert [each["id"] for each in listed(official, limit=2)["data"]] == [old.id, new.id]
    assert listed(official, limit=1, after=old.id)["data"][0]["id"] == new.id
    official.conversations.delete(old.id)
    assert listed(official, limit=1)["data"][0]["id"] == new.id
    with pytest.raises(openai.BadRequestError, match="conv_none"):
        listed(official, after="conv_none")


def test_a_conversation_goes_on_from_an_earlier_turn(official: openai.OpenAI) -> None:
    conversation = official.conversations.create()

    def ask(question: str) -> str:
        return official.responses.create(**SHORT, input=question, conversation=conversation.id).id

    def asked() -> list[str]:
        items = official.conversations.items.list(conversation.id, order="asc")
        assert {getattr(item, "kosmosx:turn_id") for item in items} <= {first, second, other}
        return texts(item for item in items if item.role == "user")

    def move(turn_id: str | None) -> None:
        path = f"/conversations/{conversation.id}/head"
        official.post(path, cast_to=object, body={"turn_id": turn_id})

    first, second, other = ask("One."), ask("Two."), ""
    move(first)
    other = ask("Another two.")
    assert asked() == ["One.", "Another two."]
    move(second)
    assert asked() == ["One.", "Two."]
    move(None)
    assert asked() == []
    with pytest.raises(openai.BadRequestError) as refused:
        move("resp_none")
    assert refused.value.param == "turn_id"


# -- bad input ---------------------------------------------------------------------------------


def test_what_is_refused_names_its_field(official: openai.OpenAI) -> None:
    conversation = official.conversations.create()
    items = official.conversations.items
    faulty: list[tuple[Any, str | None]] = [
        (lambda: official.conversations.create(items=[user("x")] * 21), "items"),
        (lambda: items.create(conversation.id, items=[]), "items"),
        (lambda: items.create(conversation.id, items=[{"role": "user"}]), "items[0].content"),
        (
            lambda: items.create(
                conversation.id, items=[message("x", "data:image/png;base64,AAAA")]
            ),
            "items[0].content[1].image_url",
        ),
        (lambda: items.list(conversation.id, after="msg_none"), "after"),
        (lambda: items.list(conversation.id, limit=101), "limit"),
        (lambda: items.list(conversation.id, order="up"), "order"),
        (lambda: official.conversations.update(conversation.id, metadata={"a": 1}), "metadata.a"),
    ]
    for use, param in faulty:
        with pytest.raises(openai.BadRequestError) as refused:
            use()
        assert refused.value.param == param
    assert items.list(conversation.id).data == []


def test_another_account_s_conversation_does_not_exist(twins: Twins) -> None:
    mine, other = client(twins.first), client(twins.first, twins.first.create_key())
    conversation = mine.conversations.create(items=[user("Mine."), assistant("Yours.")])
    item = mine.conversations.items.list(conversation.id).data[0]
    for use in (
        lambda: other.conversations.retrieve(conversation.id),
        lambda: other.conversations.update(conversation.id, metadata={"a": "b"}),
        lambda: other.conversations.delete(conversation.id),
        lambda: other.conversations.items.list(conversation.id),
        lambda: other.conversations.items.create(conversation.id, items=[user("x")]),
        lambda: other.conversations.items.retrieve(item.id, conversation_id=conversation.id),
        lambda: other.conversations.items.delete(item.id, conversation_id=conversation.id),
        lambda: other.responses.create(**SHORT, input="Hi", conversation=conversation.id),
    ):
        with pytest.raises(openai.NotFoundError):
            use()
    assert len(mine.conversations.items.list(conversation.id).data) == 2


# -- two at once -------------------------------------------------------------------------------


def test_a_conversation_is_in_one_turn_at_a_time_whichever_server(twins: Twins) -> None:
    first, second = client(twins.first), client(twins.second)
    conversation = first.conversations.create(items=[user("One.")])
    item = first.conversations.items.list(conversation.id).data[0]
    with live_turn(twins.first, conversation.id):
        for each in (first, second):
            for use in (
                lambda use=each: use.responses.create(
                    **SHORT, input="Hi", conversation=conversation.id
                ),
                lambda use=each: use.conversations.items.create(conversation.id, items=[user("x")]),
                lambda use=each: use.conversations.items.delete(
                    item.id, conversation_id=conversation.id
                ),
                lambda use=each: use.conversations.delete(conversation.id),
            ):
                with pytest.raises(openai.ConflictError) as refused:
                    use()
                assert refused.value.code == "conversation_locked"
        second.conversations.update(conversation.id, metadata={"title": "Live"})
    after = second.responses.create(**SHORT, input="Two.", conversation=conversation.id)
    listed = first.conversations.items.list(conversation.id, order="asc").data
    assert [item.role for item in listed] == ["user", "user", "assistant", "user", "assistant"]
    assert listed[2].status == "incomplete"
    assert listed[4].id == after.output[0].id


def test_a_lost_turn_keeps_its_conversation_until_it_was_continued(twins: Twins) -> None:
    """Its server is killed; the other one goes on with it, and lets nobody in between."""
    second = client(twins.second)
    conversation = second.conversations.create()
    with client(twins.first).responses.create(
        model=MODEL,
        max_output_tokens=300,
        input="Tell me much.",
        conversation=conversation.id,
        stream=True,
    ) as stream:
        events = []
        with pytest.raises(openai.APIConnectionError):  # noqa: PT012 - whatever breaks the stream
            for event in stream:
                events.append(event)
                if event.type == "response.output_text.delta" and len(events) > 20:
                    twins.first.kill()
    response_id = events[0].response.id
    with pytest.raises(openai.ConflictError):
        second.responses.create(**SHORT, input="Hi", conversation=conversation.id)
    with second.responses.retrieve(
        response_id, stream=True, starting_after=events[-1].sequence_number
    ) as rest:
        events += rest
    assert events[-1].type == "response.incomplete"
    assert text_of(events) == events[-1].response.output_text
    second.responses.create(**SHORT, input="Hi", conversation=conversation.id)
    listed = second.conversations.items.list(conversation.id, order="asc").data
    assert [item.role for item in listed] == ["user", "assistant"] * 2
    assert listed[1].content[0].text == events[-1].response.output_text
