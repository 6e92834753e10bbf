"""Requests decoded: the body of `POST /v1/responses`, and of what is asked for in the same words.

What this server lacks is refused by name where it would change the answer, and ignored where it
would not; fields that nobody knows yet are ignored.
"""

from typing import Literal, get_args

import msgspec

from kosmosx_stream.protocol.errors import InvalidRequest
from kosmosx_stream.protocol.fields import (
    Fields,
    decode_object,
    wrong_type,
)
from kosmosx_stream.protocol.inputs import InputItem, read_input
from kosmosx_stream.protocol.refusals import refuse_unsupported
from kosmosx_stream.protocol.text_format import TextConfig, read_text
from kosmosx_stream.protocol.tools import FunctionTool, ToolChoice, read_tool_choice, read_tools

MIN_OUTPUT_TOKENS = 16
"""Open Responses: CreateResponseBody.max_output_tokens.minimum."""
MAX_LABEL = 64
"""Open Responses: the longest `safety_identifier` and `prompt_cache_key`."""

DEFAULT_TEMPERATURE = 0.0
"""Greedy, as Kosmos-2 was made to be read: boxes do not gain from chance."""

Truncation = Literal["auto", "disabled"]
Effort = Literal["none", "low", "medium", "high", "xhigh"]
Summary = Literal["concise", "detailed", "auto"]


class Reasoning(msgspec.Struct, frozen=True):
    """Accepted and echoed; there is nothing to reason with."""

    effort: Effort | None
    summary: Summary | None


class CreateResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A request for an answer, normalised.

    `grounding`: None leaves it to the server. `seed` and `stop` come from chat completions only.
    `input_param`, `tool_schema_param` and `text_schema_param` name the fields that hold messages
    and schemas, for complaints about them.
    """

    model: str
    messages: tuple[InputItem, ...]
    instructions: str | None = None
    max_output_tokens: int | None = None
    temperature: float = DEFAULT_TEMPERATURE
    top_p: float = 1.0
    store: bool = True
    stream: bool = False
    background: bool = False
    generate: bool = True
    previous_response_id: str | None = None
    conversation: str | None = None
    metadata: dict[str, str] = {}
    truncation: Truncation = "disabled"
    grounding: bool | None = None
    parallel_tool_calls: bool = True
    tools: tuple[FunctionTool, ...] = ()
    tool_choice: ToolChoice = "auto"
    max_tool_calls: int | None = None
    tool_schema_param: str = "tools[{index}].parameters"
    text: TextConfig = TextConfig()
    text_schema_param: str = "text.format.schema"
    reasoning: Reasoning | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    input_param: str = "input"


def decode_create(body: bytes | str) -> CreateResponse:
    """Decode the body of `POST /v1/responses`.

    Raises:
        InvalidRequest: it cannot be served as it stands; `param` names the field.
        PayloadTooLarge: too much text.
    """
    return read_create(decode_object(body))


def read_create(fields: Fields) -> CreateResponse:
    """Read the fields of a request that is part of a larger message; see `decode_create`."""
    fields.refuse_extensions("kosmosx:grounding")
    refuse_unsupported(fields)
    tools = read_tools(fields)
    temperature = fields.number("temperature", low=0, high=2)
    top_p = fields.number("top_p", low=0, high=1)
    return CreateResponse(
        model=fields.required_string("model"),
        messages=read_input(fields.get("input")),
        instructions=fields.string("instructions"),
        max_output_tokens=fields.integer("max_output_tokens", low=MIN_OUTPUT_TOKENS),
        temperature=DEFAULT_TEMPERATURE if temperature is None else temperature,
        top_p=1.0 if top_p is None else top_p,
        store=fields.boolean("store") is not False,
        stream=fields.boolean("stream") is True,
        background=_background(fields),
        generate=fields.boolean("generate") is not False,
        previous_response_id=fields.string("previous_response_id"),
        conversation=_conversation(fields),
        metadata=read_metadata(fields),
        truncation=fields.choice("truncation", get_args(Truncation)) or "disabled",
        grounding=fields.boolean("kosmosx:grounding"),
        parallel_tool_calls=fields.boolean("parallel_tool_calls") is not False,
        tools=tools,
        tool_choice=read_tool_choice(fields, tools),
        max_tool_calls=fields.integer("max_tool_calls", low=1),
        text=read_text(fields),
        reasoning=_reasoning(fields),
        user=fields.string("user"),
        safety_identifier=fields.string("safety_identifier", max_length=MAX_LABEL),
        prompt_cache_key=fields.string("prompt_cache_key", max_length=MAX_LABEL),
    )


def _background(fields: Fields) -> bool:
    if fields.boolean("background") is not True:
        return False
    if fields.boolean("store") is False:
        message = (
            "Invalid 'background': it needs 'store', or nobody could come back for the response."
        )
        raise InvalidRequest(message, code="mutually_exclusive_parameters", param="background")
    return True


def read_metadata(fields: Fields) -> dict[str, str]:
    """The `metadata` of whatever can have some; none if it is absent."""
    return fields.string_map("metadata", max_pairs=16, max_key=64, max_value=512)


def _conversation(fields: Fields) -> str | None:
    match fields.get("conversation"):
        case None:
            return None
        case str(conversation_id):
            return conversation_id
        case dict() as data:
            return Fields(data, "conversation").required_string("id")
        case other:
            raise wrong_type("conversation", "a conversation id or an object", other)


def _reasoning(fields: Fields) -> Reasoning | None:
    reasoning = fields.object("reasoning")
    if reasoning is None:
        return None
    return Reasoning(
        effort=reasoning.choice("effort", get_args(Effort)),
        summary=reasoning.choice("summary", get_args(Summary)),
    )
