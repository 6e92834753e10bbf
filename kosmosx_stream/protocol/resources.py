"""Conversations as clients see them."""

from collections.abc import Sequence
from typing import Literal

import msgspec


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Words that were searched for, as they stand in a turn; `before` and `after` are cut short."""

    turn_id: str
    before: str
    words: str
    after: str


class ConversationObject(msgspec.Struct, frozen=True, kw_only=True):
    """A named line of turns; `created_at` in Unix seconds.

    `kosmosx:live_response_id`: the response that is being written in it. `kosmosx:found`: where it
    says what was searched for.
    """

    id: str
    object: Literal["conversation"] = "conversation"
    created_at: int
    metadata: dict[str, str]
    live_response_id: str | None = msgspec.field(name="kosmosx:live_response_id", default=None)
    found: Found | msgspec.UnsetType = msgspec.field(name="kosmosx:found", default=msgspec.UNSET)


class ConversationList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of conversations.

    A search ends its page early when it has read much: `last_id` is the last one that it has read,
    whether or not it is among `data`.
    """

    object: Literal["list"] = "list"
    data: Sequence[ConversationObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class ConversationChanged(
    msgspec.Struct, frozen=True, kw_only=True, tag="kosmosx:conversation.changed"
):
    """Something has changed in this conversation, or `response_id` is being written in it.

    Without a `conversation_id` something may have been missed: look at all of them.
    """

    sequence_number: int
    conversation_id: str | None
    response_id: str | None
    deleted: bool


class DeletedConversation(msgspec.Struct, frozen=True):
    """What is left of a deleted conversation."""

    id: str
    object: Literal["conversation.deleted"] = "conversation.deleted"
    deleted: Literal[True] = True
