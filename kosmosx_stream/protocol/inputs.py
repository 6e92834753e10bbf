"""A request's `input`: a string, or items, among them those echoed from earlier responses."""

from typing import Any, Literal, assert_never

import msgspec

from conversation.items import Role
from kosmosx_stream.protocol.errors import InvalidRequest
from kosmosx_stream.protocol.fields import (
    Fields,
    check_object,
    empty_string,
    missing,
    unsupported,
    wrong_type,
)
from kosmosx_stream.protocol.tools import check_name

ROLES: tuple[Role, ...] = ("user", "assistant", "system", "developer")
Detail = Literal["auto", "low", "high"]
DETAILS: tuple[Detail, ...] = ("auto", "low", "high")

PartType = Literal["input_text", "input_image", "output_text"]
_USER_PARTS: tuple[PartType, ...] = ("input_text", "input_image")
_INSTRUCTION_PARTS: tuple[PartType, ...] = ("input_text",)
_ASSISTANT_PARTS: tuple[PartType, ...] = ("output_text",)

MAX_CALL_ID = 64
"""Open Responses: FunctionCallOutputItemParam.call_id.maxLength."""

_ECHOED = ("kosmosx:grounding", "kosmosx:image_id")
"""Extensions of our own items; a client that sends them back may leave them in."""


class InputText(msgspec.Struct, frozen=True):
    """What a user, or the developer, wrote."""

    text: str


class InputImage(msgspec.Struct, frozen=True):
    """A picture by its data: or https: URL, unchecked. `param` names its field in complaints."""

    url: str
    detail: Detail
    param: str


class OutputText(msgspec.Struct, frozen=True):
    """What the model answered, from a client that keeps its own history."""

    text: str


InputPart = InputText | InputImage | OutputText


class InputMessage(msgspec.Struct, frozen=True):
    """One message of a request."""

    role: Role
    parts: tuple[InputPart, ...]


class InputCall(msgspec.Struct, frozen=True):
    """A call that the model made, from a client that keeps its own history."""

    call_id: str
    name: str
    arguments: str


class InputCallOutput(msgspec.Struct, frozen=True):
    """What a function gave. `param` names the field of its call's id, for complaints about it."""

    call_id: str
    output: str | tuple[InputText | InputImage, ...]
    param: str


class InputCompaction(msgspec.Struct, frozen=True):
    """What stands for an earlier conversation, as it was sealed here; `param` is its field."""

    sealed: str
    param: str


class InputReference(msgspec.Struct, frozen=True):
    """An item that is kept here, by its id; `param` is its field."""

    item_id: str
    param: str


InputItem = InputMessage | InputCall | InputCallOutput | InputCompaction | InputReference


def read_input(value: Any) -> tuple[InputItem, ...]:
    """Normalise an `input`; a string is a user's message.

    Raises:
        InvalidRequest: it is neither text nor messages, or has parts that this server lacks.
    """
    match value:
        case None:
            raise missing("input")
        case str():
            return (InputMessage("user", (InputText(value),)),)
        case list():
            return read_items(value, "input")
        case _:
            raise wrong_type("input", "a string or an array of input items", value)


def read_items(items: list[Any], param: str) -> tuple[InputItem, ...]:
    """Normalise an array of items.

    Raises:
        InvalidRequest: it is empty, or an item is none that this server takes.
    """
    if not items:
        raise empty_array(param)
    return tuple(
        _read_item(check_object(item, f"{param}[{index}]")) for index, item in enumerate(items)
    )


def _read_item(item: Fields) -> InputItem:
    item_type = _item_type(item)
    item.refuse_extensions()
    item.string("id")
    item.string("status")
    match item_type:
        case "message":
            return _read_message(item)
        case "function_call":
            return _read_call(item)
        case "function_call_output":
            return _read_call_output(item)
        case "compaction":
            return _read_compaction(item)
        case "item_reference":
            return _read_reference(item)
        case _:
            raise InvalidRequest(
                f"Input items of type '{item_type[:64]}' are not supported; send messages, or "
                "calls of functions and their outputs.",
                code="unsupported_input_item",
                param=item.param("type"),
            )


def _read_call(item: Fields) -> InputCall:
    return InputCall(
        call_id=read_call_id(item, "call_id"),
        name=check_name(item.required_string("name"), item.param("name")),
        arguments=item.required_string("arguments"),
    )


def _read_call_output(item: Fields) -> InputCallOutput:
    call_id, param = read_call_id(item, "call_id"), item.param("call_id")
    output = item.get("output")
    match output:
        case None:
            raise missing(item.param("output"))
        case str():
            return InputCallOutput(call_id, output, param)
        case list():
            parts = _read_parts(output, item.param("output"), "user")
            given = tuple(part for part in parts if not isinstance(part, OutputText))
            return InputCallOutput(call_id, given, param)
        case _:
            raise wrong_type(item.param("output"), "a string or an array of content parts", output)


def read_call_id(fields: Fields, name: str) -> str:
    """A call's id, by the name that the field has."""
    call_id = fields.string(name, max_length=MAX_CALL_ID)
    if not call_id:
        raise missing(fields.param(name))
    return call_id


def _read_message(item: Fields) -> InputMessage:
    role = item.choice("role", ROLES)
    if role is None:
        raise missing(item.param("role"))
    content = item.get("content")
    match content:
        case None:
            raise missing(item.param("content"))
        case str():
            return InputMessage(role, (_text(role, content),))
        case list():
            return InputMessage(role, _read_parts(content, item.param("content"), role))
        case _:
            raise wrong_type(
                item.param("content"), "a string or an array of content parts", content
            )


def _read_compaction(item: Fields) -> InputCompaction:
    """Open Responses: CompactionSummaryItemParam."""
    sealed = item.required_string("encrypted_content")
    return InputCompaction(sealed, item.param("encrypted_content"))


def _read_reference(item: Fields) -> InputReference:
    """Open Responses: ItemReferenceParam."""
    item_id = item.required_string("id")
    if not item_id:
        raise empty_string(item.param("id"))
    return InputReference(item_id, item.param("id"))


def _item_type(item: Fields) -> str:
    """Messages may leave their type out, and so may references (ItemReferenceParam)."""
    item_type = item.string("type")
    if item_type is not None:
        return item_type
    bare = item.get("role") is None and item.get("content") is None
    return "item_reference" if bare and item.string("id") else "message"


def _read_parts(parts: list[Any], param: str, role: Role) -> tuple[InputPart, ...]:
    if not parts:
        raise empty_array(param)
    return tuple(
        _read_part(check_object(part, f"{param}[{index}]"), role)
        for index, part in enumerate(parts)
    )


def _read_part(part: Fields, role: Role) -> InputPart:
    part.refuse_extensions(*_ECHOED)
    match _part_type(part, role):
        case "input_text":
            return InputText(part.required_string("text"))
        case "output_text":
            return OutputText(part.required_string("text"))
        case "input_image":
            return _read_image(part)
        case never:
            assert_never(never)


def _part_type(part: Fields, role: Role) -> PartType:
    match role:
        case "user":
            choices = _USER_PARTS
        case "assistant":
            choices = _ASSISTANT_PARTS
        case "system" | "developer":
            choices = _INSTRUCTION_PARTS
        case never:
            assert_never(never)
    part_type = part.choice("type", choices)
    if part_type is None:
        raise missing(part.param("type"))
    return part_type


def _read_image(part: Fields) -> InputImage:
    if part.get("file_id") is not None:
        raise unsupported(
            part.param("file_id"), "there are no files here; send the picture as a data: URL"
        )
    url = part.required_string("image_url")
    return picture(url, part.choice("detail", DETAILS), part.param("image_url"))


def picture(url: str, detail: Detail | None, param: str) -> InputImage:
    """A picture that a request brings in its field `param`.

    Raises:
        InvalidRequest: it is neither a data: URL nor an https: one.
    """
    if not url[:8].lower().startswith(("data:", "https://")):
        message = (
            f"Invalid '{param}': pictures are taken as data: URLs "
            "('data:image/png;base64,...'), or from https: URLs where the server fetches them."
        )
        raise InvalidRequest(message, code="invalid_image_url", param=param)
    return InputImage(url, detail or "auto", param)


def _text(role: Role, text: str) -> InputPart:
    return OutputText(text) if role == "assistant" else InputText(text)


def empty_array(param: str) -> InvalidRequest:
    message = f"Invalid '{param}': empty array. Expected an array with minimum length 1."
    return InvalidRequest(message, code="empty_array", param=param)
