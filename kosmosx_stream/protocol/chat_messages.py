"""The `messages` of a chat completion: the whole conversation, as its client keeps it."""

from collections.abc import Iterator
from typing import Literal, assert_never

from conversation.items import Role
from kosmosx_stream.protocol.fields import (
    Fields,
    check_object,
    missing,
    unsupported,
    wrong_type,
)
from kosmosx_stream.protocol.inputs import (
    DETAILS,
    ROLES,
    InputCall,
    InputCallOutput,
    InputItem,
    InputMessage,
    InputPart,
    InputText,
    OutputText,
    empty_array,
    picture,
    read_call_id,
)
from kosmosx_stream.protocol.tools import check_name, unsupported_tool

ChatRole = Literal["user", "assistant", "system", "developer", "tool"]
CHAT_ROLES: tuple[ChatRole, ...] = (*ROLES, "tool")

PartType = Literal["text", "image_url", "refusal"]
_USER_PARTS: tuple[PartType, ...] = ("text", "image_url")
_INSTRUCTION_PARTS: tuple[PartType, ...] = ("text",)
_ASSISTANT_PARTS: tuple[PartType, ...] = ("text", "refusal")


def read_messages(fields: Fields) -> tuple[InputItem, ...]:
    """Normalise the request's `messages`.

    Raises:
        InvalidRequest: there are none, or one is not of a kind that this server takes.
    """
    messages = fields.array("messages")
    if messages is None:
        raise missing("messages")
    if not messages:
        raise empty_array("messages")
    return tuple(
        item
        for index, message in enumerate(messages)
        for item in _read_message(check_object(message, f"messages[{index}]"))
    )


def _read_message(message: Fields) -> Iterator[InputItem]:
    message.refuse_extensions("kosmosx:grounding")
    message.string("name")  # The model knows no names of speakers.
    match message.choice("role", CHAT_ROLES):
        case None:
            raise missing(message.param("role"))
        case "tool":
            yield _read_output(message)
        case "assistant":
            calls = _read_calls(message)
            if not calls or message.get("content"):
                yield InputMessage("assistant", _read_content(message, "assistant"))
            yield from calls
        case role:
            yield InputMessage(role, _read_content(message, role))


def _read_calls(message: Fields) -> list[InputCall]:
    """Null and empty fields come with every message that was an answer, and say nothing."""
    for name in ("function_call", "audio"):
        if message.get(name):
            raise unsupported(message.param(name), "answers are text and 'tool_calls'")
    param = message.param("tool_calls")
    calls = message.array("tool_calls") or []
    return [_read_call(check_object(call, f"{param}[{at}]")) for at, call in enumerate(calls)]


def _read_call(call: Fields) -> InputCall:
    if call.required_string("type") != "function":
        raise unsupported_tool(call.required_string("type"), call.param("type"))
    function = call.required_object("function")
    return InputCall(
        call_id=read_call_id(call, "id"),
        name=check_name(function.required_string("name"), function.param("name")),
        arguments=function.required_string("arguments"),
    )


def _read_output(message: Fields) -> InputCallOutput:
    call_id = read_call_id(message, "tool_call_id")
    content = _read_content(message, "system")
    text = "".join(part.text for part in content if isinstance(part, InputText))
    return InputCallOutput(call_id, text, message.param("tool_call_id"))


def _read_content(message: Fields, role: Role) -> tuple[InputPart, ...]:
    content, param = message.get("content"), message.param("content")
    match content:
        case None:
            refusal = message.string("refusal") if role == "assistant" else None
            if refusal is None:
                raise missing(param)
            return (OutputText(refusal),)
        case str():
            return (_text(content, role),)
        case []:
            raise empty_array(param)
        case list():
            return tuple(
                _read_part(check_object(part, f"{param}[{index}]"), role)
                for index, part in enumerate(content)
            )
        case _:
            raise wrong_type(param, "a string or an array of content parts", content)


def _read_part(part: Fields, role: Role) -> InputPart:
    part.refuse_extensions()
    part_type = part.choice("type", _part_types(role))
    match part_type:
        case None:
            raise missing(part.param("type"))
        case "text" | "refusal":
            return _text(part.required_string(part_type), role)
        case "image_url":
            return _read_image(part)
        case never:
            assert_never(never)


def _part_types(role: Role) -> tuple[PartType, ...]:
    match role:
        case "user":
            return _USER_PARTS
        case "assistant":
            return _ASSISTANT_PARTS
        case "system" | "developer":
            return _INSTRUCTION_PARTS
        case never:
            assert_never(never)


def _read_image(part: Fields) -> InputPart:
    image = part.object("image_url")
    if image is None:
        raise missing(part.param("image_url"))
    url, detail = image.required_string("url"), image.choice("detail", DETAILS)
    return picture(url, detail, image.param("url"))


def _text(text: str, role: Role) -> InputPart:
    return OutputText(text) if role == "assistant" else InputText(text)
