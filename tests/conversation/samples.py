"""Turns and conversations for tests."""

from conversation.items import Answer, Conversation, Image, Item, Message, Role, Text, Turn


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
