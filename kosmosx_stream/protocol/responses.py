"""Response objects as clients see them: every field that the schema requires.

Open Responses 2026-04-24: ResponseResource and Usage. Where OpenAI's clients require more than the
document (`cache_write_tokens`), that is there too.
"""

from typing import Literal

import msgspec

from kosmosx_stream.protocol.items import OutputItem
from kosmosx_stream.protocol.requests import (
    DEFAULT_TEMPERATURE,
    CreateResponse,
    Reasoning,
    Truncation,
)
from kosmosx_stream.protocol.text_format import TextConfig
from kosmosx_stream.protocol.tools import FunctionTool, ToolChoice

Status = Literal["in_progress", "completed", "incomplete", "failed", "cancelled"]


class Echo(msgspec.Struct, frozen=True, kw_only=True):
    """What a response says of its request. Defaults: a log that was written without it."""

    instructions: str | None = None
    max_output_tokens: int | None = None
    temperature: float = DEFAULT_TEMPERATURE
    top_p: float = 1.0
    previous_response_id: str | None = None
    metadata: dict[str, str] = {}
    truncation: Truncation = "disabled"
    parallel_tool_calls: bool = True
    tools: tuple[FunctionTool, ...] = ()
    tool_choice: ToolChoice = "auto"
    max_tool_calls: int | None = None
    text: TextConfig = TextConfig()
    reasoning: Reasoning | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None


def echoed_fields(request: CreateResponse) -> bytes:
    """The JSON that `Started.request` holds."""
    echo = Echo(**{name: getattr(request, name) for name in Echo.__struct_fields__})
    return msgspec.json.encode(echo)


def read_echo(data: bytes) -> Echo:
    """Read `Started.request` back."""
    return msgspec.json.decode(data or b"{}", type=Echo)


# -- usage ---------------------------------------------------------------------------------


class InputTokensDetails(msgspec.Struct, frozen=True):
    cached_tokens: int
    cache_write_tokens: int = 0


class OutputTokensDetails(msgspec.Struct, frozen=True):
    reasoning_tokens: int = 0


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class LiveUsage(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """`kosmosx:usage` of a delta: the bill if the answer ended there."""

    input_tokens: int
    output_tokens: int
    images: int
    detections: int
    cost_usd: str
    price_version: str


class MeteredUsage(LiveUsage, frozen=True, kw_only=True):
    """`kosmosx:usage` of a response."""

    cached_tokens: int
    total_tokens: int


def standard_usage(usage: MeteredUsage) -> Usage:
    """The part of the usage that OpenAI's clients know."""
    return Usage(
        input_tokens=usage.input_tokens,
        input_tokens_details=InputTokensDetails(usage.cached_tokens),
        output_tokens=usage.output_tokens,
        output_tokens_details=OutputTokensDetails(),
        total_tokens=usage.total_tokens,
    )


# -- response ------------------------------------------------------------------------------


class IncompleteDetails(msgspec.Struct, frozen=True):
    reason: Literal["max_output_tokens", "content_filter", "steered"]


class ResponseError(msgspec.Struct, frozen=True, kw_only=True):
    """`code` is one that OpenAI's clients know; ours, if it is another, stands beside it."""

    code: str
    message: str
    own_code: str | msgspec.UnsetType = msgspec.field(name="kosmosx:code", default=msgspec.UNSET)


class SessionRef(msgspec.Struct, frozen=True):
    id: str


class ConversationRef(msgspec.Struct, frozen=True):
    id: str


class Context(msgspec.Struct, frozen=True):
    """`kosmosx:context`: what `truncation: "auto"` left out of the prompt; `window` in tokens."""

    dropped_turns: int
    dropped_tokens: int
    window: int


class BudgetField(msgspec.Struct, frozen=True, kw_only=True):
    """`kosmosx:budget`: what is left of the month's budget after this response.

    Less than nothing is left where a soft budget is exceeded; a hard one cuts the answer first.
    `fallback`: it had ended, and the cheaper model answered; limit and left are with what that may
    cost on top.
    """

    limit_usd: str
    left_usd: str
    hard: bool
    fallback: bool = False


class ResponseObject(msgspec.Struct, frozen=True, kw_only=True):
    """ResponseResource. `own_reason` says why an answer was cut where no standard word does."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None
    status: Status
    incomplete_details: IncompleteDetails | None
    error: ResponseError | None
    model: str
    previous_response_id: str | None
    conversation: ConversationRef | None
    instructions: str | None
    output: tuple[OutputItem, ...]
    tools: tuple[FunctionTool, ...]
    tool_choice: ToolChoice
    truncation: Truncation
    parallel_tool_calls: bool
    text: TextConfig
    temperature: float
    top_p: float
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    top_logprobs: int = 0
    reasoning: Reasoning | None
    usage: Usage | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    store: bool
    background: bool = False
    service_tier: Literal["default"] = "default"
    metadata: dict[str, str]
    safety_identifier: str | None
    prompt_cache_key: str | None
    user: str | None
    own_usage: MeteredUsage = msgspec.field(name="kosmosx:usage")
    session: SessionRef = msgspec.field(name="kosmosx:session")
    own_reason: Literal["cancelled", "budget"] | msgspec.UnsetType = msgspec.field(
        name="kosmosx:reason", default=msgspec.UNSET
    )
    context: Context | msgspec.UnsetType = msgspec.field(
        name="kosmosx:context", default=msgspec.UNSET
    )
    budget: BudgetField | msgspec.UnsetType = msgspec.field(
        name="kosmosx:budget", default=msgspec.UNSET
    )


class InputTokens(msgspec.Struct, frozen=True, kw_only=True):
    """The length of the prompt that a request would make."""

    object: Literal["response.input_tokens"] = "response.input_tokens"
    input_tokens: int


class DeletedResponse(msgspec.Struct, frozen=True):
    """What is left of a deleted response."""

    id: str
    object: Literal["response"] = "response"
    deleted: Literal[True] = True
