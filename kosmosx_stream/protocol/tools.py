"""Functions that the model may call: their description in requests, and its echo in responses.

Open Responses 2026-04-24: FunctionToolParam, ToolChoiceParam and their echoes FunctionTool,
FunctionToolChoice and AllowedToolChoice.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from kosmosx_stream.protocol.errors import InvalidRequest
from kosmosx_stream.protocol.fields import Fields, check_object, invalid_value, missing, wrong_type
from kosmosx_stream.protocol.json_schemas import check_schema

MAX_TOOLS = 128
"""Open Responses: AllowedToolsParam.tools.maxItems."""
MAX_NAME = 64

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")

ChoiceMode = Literal["none", "auto", "required"]
_MODES: tuple[ChoiceMode, ...] = ("none", "auto", "required")

NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
"""The arguments of a function that was described without parameters."""


class FunctionTool(msgspec.Struct, frozen=True, kw_only=True, tag="function"):
    """A function of the client. Its arguments are always held to `parameters`, strict or not."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool = True

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments."""
        return NO_ARGUMENTS if self.parameters is None else self.parameters


class FunctionChoice(msgspec.Struct, frozen=True, tag="function"):
    """One function by its name."""

    name: str


class AllowedTools(msgspec.Struct, frozen=True, kw_only=True, tag="allowed_tools"):
    """Some of the functions."""

    tools: tuple[FunctionChoice, ...]
    mode: ChoiceMode = "auto"


ToolChoice = ChoiceMode | FunctionChoice | AllowedTools


Place = Callable[[Fields], Fields]
"""Where in a tool, or in a choice, it is told which one: Chat Completions has it one level down."""


class Callables(msgspec.Struct, frozen=True):
    """What an answer may call; `required`: it has to call something."""

    tools: tuple[FunctionTool, ...]
    required: bool


def callable_tools(tools: Sequence[FunctionTool], choice: ToolChoice) -> Callables:
    """The functions that a choice leaves to be called."""
    match choice:
        case "none":
            return Callables((), required=False)
        case "auto" | "required":
            return Callables(tuple(tools), choice == "required")
        case FunctionChoice(name):
            return Callables(tuple(tool for tool in tools if tool.name == name), required=True)
        case AllowedTools(tools=allowed, mode=mode):
            names = {each.name for each in allowed}
            return callable_tools([tool for tool in tools if tool.name in names], mode)


def here(fields: Fields) -> Fields:
    """The place for the Responses API."""
    return fields


def read_tools(fields: Fields, place: Place = here) -> tuple[FunctionTool, ...]:
    """`tools` of a request.

    Raises:
        InvalidRequest: not an array of functions with names of their own, or with parameters that
            are no usable JSON Schema.
    """
    described = fields.array("tools") or []
    if len(described) > MAX_TOOLS:
        message = f"Invalid 'tools': {len(described)} tools; at most {MAX_TOOLS} are taken."
        raise InvalidRequest(message, code="array_above_max_length", param="tools")
    tools: list[FunctionTool] = []
    for index, value in enumerate(described):
        described_at = check_object(value, f"tools[{index}]")
        tool = _read_tool(described_at, place)
        if any(tool.name == other.name for other in tools):
            message = f"Two tools have the name '{tool.name}'."
            param = place(described_at).param("name")
            raise InvalidRequest(message, code="duplicate_name", param=param)
        tools.append(tool)
    return tuple(tools)


def read_tool_choice(
    fields: Fields, tools: Sequence[FunctionTool], place: Place = here
) -> ToolChoice:
    """`tool_choice` of a request that has these tools.

    Raises:
        InvalidRequest: it names a function that is not there, or has none to choose from.
    """
    param = fields.param("tool_choice")
    match fields.get("tool_choice"):
        case None:
            return "auto"
        case str():
            choice = fields.choice("tool_choice", _MODES)
            assert choice is not None
            if choice == "required" and not tools:
                message = "'tool_choice' is 'required', and the request has no 'tools'."
                raise InvalidRequest(message, code="tool_not_found", param=param)
            return choice
        case dict() as data:
            return _read_specific_choice(Fields(data, param), tools, place)
        case other:
            raise wrong_type(param, "a string or an object", other)


def check_name(name: str, param: str) -> str:
    """A function's or a format's name.

    Raises:
        InvalidRequest: too long, or of other characters.
    """
    if NAME.fullmatch(name) is None:
        message = f"Invalid '{param}': expected 1 to {MAX_NAME} of the characters A-Z a-z 0-9 _ -"
        raise InvalidRequest(message, code="invalid_value", param=param)
    return name


def unsupported_tool(name: str, param: str) -> InvalidRequest:
    """It is not a function of the client's."""
    message = f"The tool '{name[:MAX_NAME]}' is not supported: tools are functions of the client."
    return InvalidRequest(message, code="unsupported_tool", param=param)


def _read_tool(tool: Fields, place: Place) -> FunctionTool:
    tool_type = tool.string("type")
    if tool_type != "function":
        name = tool.string("name") or tool_type or "unnamed"
        raise unsupported_tool(name, tool.param("type"))
    function = place(tool)
    parameters = function.object("parameters")
    if parameters is not None:
        check_schema(parameters, arguments=True)
    return FunctionTool(
        name=check_name(function.required_string("name"), function.param("name")),
        description=function.string("description"),
        parameters=function.get("parameters"),
        strict=function.boolean("strict") is not False,
    )


def _read_specific_choice(
    choice: Fields, tools: Sequence[FunctionTool], place: Place
) -> ToolChoice:
    match choice.required_string("type"):
        case "function":
            return _read_function_choice(place(choice), tools)
        case "allowed_tools":
            return _read_allowed_tools(place(choice), tools, place)
        case unknown:
            raise invalid_value(choice.param("type"), unknown, ("function", "allowed_tools"))


def _read_function_choice(choice: Fields, tools: Sequence[FunctionTool]) -> FunctionChoice:
    name = choice.required_string("name")
    if all(tool.name != name for tool in tools):
        param = choice.param("name")
        message = f"Invalid '{param}': 'tools' has no function '{name[:MAX_NAME]}'."
        raise InvalidRequest(message, code="tool_not_found", param=param)
    return FunctionChoice(name)


def _read_allowed_tools(
    choice: Fields, tools: Sequence[FunctionTool], place: Place
) -> AllowedTools:
    param = choice.param("tools")
    allowed = choice.array("tools")
    if not allowed:
        raise missing(param)
    named: list[FunctionChoice] = []
    for index, value in enumerate(allowed):
        each = check_object(value, f"{param}[{index}]")
        if each.required_string("type") != "function":
            raise invalid_value(each.param("type"), str(each.get("type")), ("function",))
        named.append(_read_function_choice(place(each), tools))
    return AllowedTools(tools=tuple(named), mode=choice.choice("mode", _MODES) or "auto")
