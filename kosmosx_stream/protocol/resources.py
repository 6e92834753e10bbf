"""Conversations as clients see them."""

from collections.abc import Sequence
from typing import Literal

import msgspec


class ConversationObject(msgspec.Struct, frozen=True, kw_only=True):
    """A named line of turns; `created_at` in Unix seconds."""

    id: str
    object: Literal["conversation"] = "conversation"
    created_at: int
    metadata: dict[str, str]


class ConversationList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of conversations."""

    object: Literal["list"] = "list"
    data: Sequence[ConversationObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedConversation(msgspec.Struct, frozen=True):
    """What is left of a deleted conversation."""

    id: str
    object: Literal["conversation.deleted"] = "conversation.deleted"
    deleted: Literal[True] = True
