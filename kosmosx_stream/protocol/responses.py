"""Response objects, items and lists as clients see them: every field that the schema requires.

Open Responses 2026-04-24: ResponseResource, Message, Usage and the content parts. Where OpenAI's
clients require more than the document (`cache_write_tokens`), that is there too.
"""

from collections.abc import Callable, Sequence
from typing import Literal, assert_never

import msgspec

from conversation.items import Answer, Grounding, Image, Message, Part, Role, Text
from kosmosx_stream.protocol.requests import (
    DEFAULT_TEMPERATURE,
    CreateResponse,
    Reasoning,
    ToolChoice,
    Truncation,
)

ImageUrl = Callable[[str], str | None]
"""From an image id to a data: URL; None where the bytes are not to be sent or are gone."""

Status = Literal["in_progress", "completed", "incomplete", "failed"]
ItemStatus = Literal["in_progress", "completed", "incomplete"]


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
    tool_choice: ToolChoice = "auto"
    max_tool_calls: int | None = None
    reasoning: Reasoning | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None


def echoed_fields(request: CreateResponse) -> bytes:
    """The JSON that `Started.request` holds."""
    return msgspec.json.encode(msgspec.convert(request, Echo, from_attributes=True))


def read_echo(data: bytes) -> Echo:
    """Read `Started.request` back."""
    return msgspec.json.decode(data or b"{}", type=Echo)


# -- content -------------------------------------------------------------------------------


class GroundingField(msgspec.Struct, frozen=True):
    """`kosmosx:grounding`: a phrase of the text, where it stands, and where it is seen."""

    phrase: str
    start: int
    end: int
    boxes: tuple[tuple[float, float, float, float], ...]


class InputTextPart(msgspec.Struct, frozen=True, tag="input_text"):
    text: str


class InputImagePart(msgspec.Struct, frozen=True, kw_only=True, tag="input_image"):
    """The schema allows a null `image_url`; the id tells which picture it was."""

    image_url: str | None
    detail: Literal["auto", "low", "high"]
    image_id: str = msgspec.field(name="kosmosx:image_id")


class OutputTextPart(msgspec.Struct, frozen=True, kw_only=True, tag="output_text"):
    text: str
    annotations: tuple[()] = ()
    logprobs: tuple[()] = ()
    grounding: tuple[GroundingField, ...] | msgspec.UnsetType = msgspec.field(
        name="kosmosx:grounding", default=msgspec.UNSET
    )


ContentPart = InputTextPart | InputImagePart | OutputTextPart


class MessageItem(msgspec.Struct, frozen=True, kw_only=True, tag="message"):
    id: str
    status: ItemStatus
    role: Role
    content: tuple[ContentPart, ...]


class ItemList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of items."""

    object: Literal["list"] = "list"
    data: Sequence[MessageItem]
    first_id: str | None
    last_id: str | None
    has_more: bool


def grounding_fields(grounding: Sequence[Grounding]) -> tuple[GroundingField, ...]:
    """Groundings as the wire has them: objects with names."""
    return tuple(GroundingField(g.phrase, g.start, g.end, g.boxes) for g in grounding)


def output_text(text: str, grounding: Sequence[Grounding] = ()) -> OutputTextPart:
    """The model's text; `kosmosx:grounding` is there if something was grounded."""
    if not grounding:
        return OutputTextPart(text=text)
    return OutputTextPart(text=text, grounding=grounding_fields(grounding))


def message_item(message: Message, image_url: ImageUrl) -> MessageItem:
    """A stored message as the wire has it."""
    return MessageItem(
        id=message.id,
        status=message.status,
        role=message.role,
        content=tuple(_content_part(part, message.role, image_url) for part in message.content),
    )


def input_items(messages: Sequence[Message], image_url: ImageUrl) -> list[MessageItem]:
    """Messages as `GET /v1/responses/{id}/input_items` lists them."""
    return [message_item(message, image_url) for message in messages]


def item_list(items: Sequence[MessageItem], *, has_more: bool = False) -> ItemList:
    """Items as a page of a list."""
    return ItemList(
        data=items,
        first_id=items[0].id if items else None,
        last_id=items[-1].id if items else None,
        has_more=has_more,
    )


def _content_part(part: Part, role: Role, image_url: ImageUrl) -> ContentPart:
    match part:
        case Text(text):
            # An assistant's words are output, also where a client kept the history.
            return OutputTextPart(text=text) if role == "assistant" else InputTextPart(text)
        case Answer(text, grounding):
            return output_text(text, grounding)
        case Image(image_id, detail):
            url = image_url(image_id)
            return InputImagePart(image_url=url, detail=detail, image_id=image_id)
        case never:
            assert_never(never)


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


class LiveUsage(msgspec.Struct, frozen=True, kw_only=True):
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
    reason: Literal["max_output_tokens", "content_filter"]


class ResponseError(msgspec.Struct, frozen=True, kw_only=True):
    """`code` is one that OpenAI's clients know; ours, if it is another, stands beside it."""

    code: str
    message: str
    own_code: str | msgspec.UnsetType = msgspec.field(name="kosmosx:code", default=msgspec.UNSET)


class TextFormat(msgspec.Struct, frozen=True):
    type: Literal["text"] = "text"


class TextConfig(msgspec.Struct, frozen=True):
    format: TextFormat = TextFormat()


class SessionRef(msgspec.Struct, frozen=True):
    id: str


class ConversationRef(msgspec.Struct, frozen=True):
    id: str


class Context(msgspec.Struct, frozen=True):
    """`kosmosx:context`: what `truncation: "auto"` left out of the prompt; `window` in tokens."""

    dropped_turns: int
    dropped_tokens: int
    window: int


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
    output: tuple[MessageItem, ...]
    tools: tuple[()] = ()
    tool_choice: ToolChoice
    truncation: Truncation
    parallel_tool_calls: bool
    text: TextConfig = TextConfig()
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


class DeletedResponse(msgspec.Struct, frozen=True):
    """What is left of a deleted response."""

    id: str
    object: Literal["response"] = "response"
    deleted: Literal[True] = True
