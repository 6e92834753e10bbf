"""Items and lists of them as clients see them: messages, calls of functions, and what those gave.

Open Responses 2026-04-24: Message, FunctionCall, FunctionCallOutput and the content parts.
"""

from collections.abc import Callable, Sequence
from typing import Literal, assert_never

import msgspec

from conversation.items import (
    Answer,
    FunctionCall,
    FunctionCallOutput,
    Grounding,
    Image,
    Item,
    ItemStatus,
    Message,
    Part,
    Role,
    Text,
)

ImageUrl = Callable[[str], str | None]
"""From an image id to a data: URL; None where the bytes are not to be sent or are gone."""


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


class _InTurn(msgspec.Struct, frozen=True, kw_only=True):
    """`kosmosx:turn_id`: the turn that an item of a conversation belongs to.

    It is a response's id, unless the item was put in by hand.
    """

    turn_id: str | msgspec.UnsetType = msgspec.field(name="kosmosx:turn_id", default=msgspec.UNSET)


class MessageItem(_InTurn, frozen=True, kw_only=True, tag="message"):
    id: str
    status: ItemStatus
    role: Role
    content: tuple[ContentPart, ...]


class FunctionCallItem(_InTurn, frozen=True, kw_only=True, tag="function_call"):
    id: str
    call_id: str
    name: str
    arguments: str
    status: ItemStatus


class FunctionCallOutputItem(_InTurn, frozen=True, kw_only=True, tag="function_call_output"):
    id: str
    call_id: str
    output: str | tuple[InputTextPart | InputImagePart, ...]
    status: ItemStatus = "completed"


OutputItem = MessageItem | FunctionCallItem
WireItem = OutputItem | FunctionCallOutputItem


class ItemList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of items."""

    object: Literal["list"] = "list"
    data: Sequence[WireItem]
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


def output_item(item: Message | FunctionCall) -> OutputItem:
    """An item of an answer as the wire has it; there are no pictures in it."""
    match item:
        case Message():
            return _message(item, lambda _: None)
        case FunctionCall():
            return FunctionCallItem(**msgspec.structs.asdict(item))
        case never:
            assert_never(never)


def wire_item(item: Item, image_url: ImageUrl) -> WireItem:
    """A stored item as the wire has it."""
    match item:
        case Message():
            return _message(item, image_url)
        case FunctionCall():
            return output_item(item)
        case FunctionCallOutput():
            output = (
                item.output
                if isinstance(item.output, str)
                else tuple(_input_part(part, image_url) for part in item.output)
            )
            return FunctionCallOutputItem(id=item.id, call_id=item.call_id, output=output)
        case never:
            assert_never(never)


def input_items(items: Sequence[Item], image_url: ImageUrl) -> list[WireItem]:
    """Items as `GET /v1/responses/{id}/input_items` lists them."""
    return [wire_item(item, image_url) for item in items]


def item_list(items: Sequence[WireItem], *, has_more: bool = False) -> ItemList:
    """Items as a page of a list."""
    return ItemList(
        data=items,
        first_id=items[0].id if items else None,
        last_id=items[-1].id if items else None,
        has_more=has_more,
    )


def _message(message: Message, image_url: ImageUrl) -> MessageItem:
    return MessageItem(
        id=message.id,
        status=message.status,
        role=message.role,
        content=tuple(_content_part(part, message.role, image_url) for part in message.content),
    )


def _content_part(part: Part, role: Role, image_url: ImageUrl) -> ContentPart:
    match part:
        case Text(text) if role == "assistant":
            # An assistant's words are output, also where a client kept the history.
            return OutputTextPart(text=text)
        case Text() | Image():
            return _input_part(part, image_url)
        case Answer(text, grounding):
            return output_text(text, grounding)
        case never:
            assert_never(never)


def _input_part(part: Text | Image, image_url: ImageUrl) -> InputTextPart | InputImagePart:
    match part:
        case Text(text):
            return InputTextPart(text)
        case Image(image_id, detail):
            url = image_url(image_id)
            return InputImagePart(image_url=url, detail=detail, image_id=image_id)
        case never:
            assert_never(never)
