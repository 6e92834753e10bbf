"""Turns and conversations for tests."""

from typing import Any

from msgspec.structs import replace

from conversation.items import Answer, Conversation, Image, Item, Message, Role, Text, Turn
from conversation.ports import History


def turn(
    response_id: str,
    parent_id: str | None = None,
    conversation_id: str | None = None,
    *,
    account_id: str = "acct_a",
    image_ids: tuple[str, ...] = (),
) -> Turn:
    question = Message(
        id=f"msg_{response_id}",
        role="user",
        content=(Text(f"Ask {response_id}?"), *(Image(image_id) for image_id in image_ids)),
    )
    answer = Message(id=f"out_{response_id}", role="assistant", content=(Answer("Yes."),))
    return Turn(
        response_id=response_id,
        parent_id=parent_id,
        conversation_id=conversation_id,
        account_id=account_id,
        created_at=1.5,
        input=(question,),
        output=(answer,),
        prompt_ids=(1, 2, 3),
        answer_ids=(4, 2),
        image_ids=image_ids,
    )


def said(item_id: str, role: Role = "user", *image_ids: str) -> Item:
    images = tuple(Image(image_id) for image_id in image_ids)
    return Message(id=item_id, role=role, content=(Text(f"{item_id}!"), *images))


def conversation(conversation_id: str = "conv_1", account_id: str = "acct_a") -> Conversation:
    return Conversation(
        id=conversation_id, account_id=account_id, created_at=1.0, metadata={"topic": "boats"}
    )


async def add_line(history: History, length: int, conversation_id: str | None = None) -> list[Turn]:
    """Turns resp_0, resp_1, ... one after another."""
    turns = [
        turn(f"resp_{i}", f"resp_{i - 1}" if i else None, conversation_id) for i in range(length)
    ]
    for each in turns:
        await history.add_turn(each)
    return turns


async def revised(history: History, revision: str, *turns: Turn, **changes: Any) -> Conversation:
    """Change conv_1 as it is now."""
    found = await history.conversation("acct_a", "conv_1")
    await history.revise_conversation(replace(found, **changes), revision, turns)
    return await history.conversation("acct_a", "conv_1")
