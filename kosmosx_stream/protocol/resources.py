"""Conversations and models as clients see them."""

from typing import Literal

import msgspec


class ConversationObject(msgspec.Struct, frozen=True, kw_only=True):
    """A named line of turns; `created_at` in Unix seconds."""

    id: str
    object: Literal["conversation"] = "conversation"
    created_at: int
    metadata: dict[str, str]


class DeletedConversation(msgspec.Struct, frozen=True):
    """What is left of a deleted conversation."""

    id: str
    object: Literal["conversation.deleted"] = "conversation.deleted"
    deleted: Literal[True] = True


class ModelObject(msgspec.Struct, frozen=True, kw_only=True):
    """A served model; `context_window` in tokens, null until the model is loaded."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "kosmosx"
    context_window: int | None = msgspec.field(name="kosmosx:context_window")


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """All served models."""

    object: Literal["list"] = "list"
    data: tuple[ModelObject, ...]
