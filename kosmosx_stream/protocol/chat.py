"""Chat completions and their chunks as the wire has them.

OpenAI's API reference, "Chat Completions": the chat completion object and its chunk object.
"""

from typing import Literal

import msgspec

from conversation.items import Grounding
from kosmosx_stream.protocol.items import GroundingField
from kosmosx_stream.protocol.responses import LiveUsage, MeteredUsage

FinishReason = Literal["stop", "length", "tool_calls"]
OwnReason = Literal["cancelled", "budget", "steered"]

_COMPLETION, _RESPONSE = "chatcmpl-", "resp_"


def completion_id(response_id: str) -> str:
    """`resp_5f0c…` as a chat completion's id, `chatcmpl-5f0c…`."""
    return _COMPLETION + response_id.removeprefix(_RESPONSE)


def response_id(completion_id: str) -> str:
    """`chatcmpl-5f0c…` as a response's id; what is none stays as it is."""
    if not completion_id.startswith(_COMPLETION):
        return completion_id
    return _RESPONSE + completion_id.removeprefix(_COMPLETION)


class StreamOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`continuous_usage_stats` is vLLM's: the usage so far in every chunk."""

    include_usage: bool = False
    continuous_usage_stats: bool = False


# -- usage ---------------------------------------------------------------------------------


class PromptTokensDetails(msgspec.Struct, frozen=True):
    cached_tokens: int


class CompletionTokensDetails(msgspec.Struct, frozen=True):
    reasoning_tokens: int = 0


class ChatUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What was read and written; the details are known at the end."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails | msgspec.UnsetType = msgspec.UNSET
    completion_tokens_details: CompletionTokensDetails | msgspec.UnsetType = msgspec.UNSET


def running_usage(usage: LiveUsage) -> ChatUsage:
    """The usage so far."""
    return ChatUsage(
        prompt_tokens=usage.input_tokens,
        completion_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
    )


def whole_usage(usage: MeteredUsage) -> ChatUsage:
    """The usage of a whole answer."""
    return ChatUsage(
        prompt_tokens=usage.input_tokens,
        completion_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        prompt_tokens_details=PromptTokensDetails(usage.cached_tokens),
        completion_tokens_details=CompletionTokensDetails(),
    )


# -- completion ----------------------------------------------------------------------------


class CalledFunction(msgspec.Struct, frozen=True):
    """`arguments` is JSON as the model wrote it."""

    name: str
    arguments: str


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class CompletionMessage(msgspec.Struct, frozen=True, kw_only=True):
    """`content` is null where the answer is calls only."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    annotations: tuple[()] = ()
    tool_calls: tuple[ToolCall, ...] | msgspec.UnsetType = msgspec.UNSET
    grounding: tuple[GroundingField, ...] | msgspec.UnsetType = msgspec.field(
        name="kosmosx:grounding", default=msgspec.UNSET
    )


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """`own_reason` says why an answer was cut where no standard word does."""

    index: int = 0
    message: CompletionMessage
    logprobs: None = None
    finish_reason: FinishReason
    own_reason: OwnReason | msgspec.UnsetType = msgspec.field(
        name="kosmosx:reason", default=msgspec.UNSET
    )


class ChatCompletion(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: tuple[Choice]
    usage: ChatUsage
    service_tier: Literal["default"] = "default"
    metadata: dict[str, str]
    own_usage: MeteredUsage = msgspec.field(name="kosmosx:usage")


class DeletedCompletion(msgspec.Struct, frozen=True):
    """What is left of a completion that was deleted."""

    id: str
    object: Literal["chat.completion.deleted"] = "chat.completion.deleted"
    deleted: Literal[True] = True


# -- chunks --------------------------------------------------------------------------------


class ChunkGrounding(GroundingField, frozen=True, kw_only=True):
    """`index` is its place in the whole answer: OpenAI's clients put lists together by it."""

    index: int


def chunk_grounding(grounding: Grounding, index: int) -> ChunkGrounding:
    """A grounding as a chunk has it."""
    return ChunkGrounding(
        phrase=grounding.phrase,
        start=grounding.start,
        end=grounding.end,
        boxes=grounding.boxes,
        index=index,
    )


class ChunkFunction(msgspec.Struct, frozen=True, kw_only=True):
    """The name comes first; `arguments` is what is to be added."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    arguments: str = ""


class ChunkToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """`index` tells which call it belongs to; the id and the type come first."""

    index: int
    id: str | msgspec.UnsetType = msgspec.UNSET
    type: Literal["function"] | msgspec.UnsetType = msgspec.UNSET
    function: ChunkFunction


class ChunkDelta(msgspec.Struct, frozen=True, kw_only=True):
    role: Literal["assistant"] | msgspec.UnsetType = msgspec.UNSET
    content: str | msgspec.UnsetType = msgspec.UNSET
    tool_calls: tuple[ChunkToolCall, ...] | msgspec.UnsetType = msgspec.UNSET
    grounding: tuple[ChunkGrounding, ...] | msgspec.UnsetType = msgspec.field(
        name="kosmosx:grounding", default=msgspec.UNSET
    )


class ChunkChoice(msgspec.Struct, frozen=True, kw_only=True):
    index: int = 0
    delta: ChunkDelta
    logprobs: None = None
    finish_reason: FinishReason | None = None
    own_reason: OwnReason | msgspec.UnsetType = msgspec.field(
        name="kosmosx:reason", default=msgspec.UNSET
    )


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """`usage` is there if the request asked for it, and null where it is not known yet."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: tuple[ChunkChoice, ...]
    service_tier: Literal["default"] = "default"
    usage: ChatUsage | msgspec.UnsetType | None = msgspec.UNSET
    own_usage: LiveUsage = msgspec.field(name="kosmosx:usage")
