"""The body of `POST /v1/chat/completions`, decoded to what any other request for an answer is.

What this server lacks is refused by name where it would change the answer, and ignored where it
would not; fields that nobody knows yet are ignored.
"""

import msgspec

from kosmosx_stream.protocol.chat import StreamOptions
from kosmosx_stream.protocol.chat_messages import read_messages
from kosmosx_stream.protocol.chat_refusals import refuse_unsupported
from kosmosx_stream.protocol.errors import InvalidRequest
from kosmosx_stream.protocol.fields import (
    Fields,
    check_string,
    decode_object,
    empty_string,
    too_long,
    wrong_type,
)
from kosmosx_stream.protocol.requests import (
    DEFAULT_TEMPERATURE,
    MAX_LABEL,
    CreateResponse,
    read_metadata,
)
from kosmosx_stream.protocol.text_format import TextConfig, read_format
from kosmosx_stream.protocol.tools import read_tool_choice, read_tools

MAX_STOPS = 4
"""OpenAI's limit."""
MAX_STOP_LENGTH = 256
MAX_SEED = 2**63 - 1


class ChatRequest(msgspec.Struct, frozen=True):
    """A chat completion to create, and how its stream is to look."""

    create: CreateResponse
    stream_options: StreamOptions


def decode_chat(body: bytes | str) -> ChatRequest:
    """Decode the body of `POST /v1/chat/completions`.

    Raises:
        InvalidRequest: it cannot be served as it stands; `param` names the field.
        PayloadTooLarge: too much text.
    """
    fields = decode_object(body)
    fields.refuse_extensions("kosmosx:grounding")
    refuse_unsupported(fields)
    return ChatRequest(_read_create(fields), _read_stream_options(fields))


def _read_create(fields: Fields) -> CreateResponse:
    tools = read_tools(fields, one_level_down)
    temperature = fields.number("temperature", low=0, high=2)
    top_p = fields.number("top_p", low=0, high=1)
    return CreateResponse(
        model=fields.required_string("model"),
        messages=read_messages(fields),
        input_param="messages",
        max_output_tokens=_read_max_tokens(fields),
        temperature=DEFAULT_TEMPERATURE if temperature is None else temperature,
        top_p=1.0 if top_p is None else top_p,
        seed=fields.integer("seed", low=-MAX_SEED, high=MAX_SEED),
        stop=_read_stop(fields),
        store=fields.boolean("store") is True,
        stream=fields.boolean("stream") is True,
        metadata=read_metadata(fields),
        grounding=fields.boolean("kosmosx:grounding"),
        tools=tools,
        tool_choice=read_tool_choice(fields, tools, one_level_down),
        tool_schema_param="tools[{index}].function.parameters",
        text=_read_format(fields),
        text_schema_param="response_format.json_schema.schema",
        parallel_tool_calls=fields.boolean("parallel_tool_calls") is not False,
        user=fields.string("user"),
        safety_identifier=fields.string("safety_identifier", max_length=MAX_LABEL),
        prompt_cache_key=fields.string("prompt_cache_key", max_length=MAX_LABEL),
    )


def one_level_down(fields: Fields) -> Fields:
    """`{"type": "function", "function": {...}}`: what it is stands under its type."""
    return fields.required_object(fields.required_string("type"))


def _read_format(fields: Fields) -> TextConfig:
    response_format = fields.object("response_format")
    if response_format is None:
        return TextConfig()
    return TextConfig(read_format(response_format, one_level_down))


def _read_max_tokens(fields: Fields) -> int | None:
    """`max_tokens` is the older name."""
    old = fields.integer("max_tokens", low=1)
    new = fields.integer("max_completion_tokens", low=1)
    if old is not None and new is not None and old != new:
        message = "'max_tokens' and 'max_completion_tokens' exclude each other; send one of them."
        raise InvalidRequest(message, code="mutually_exclusive_parameters", param="max_tokens")
    return old if new is None else new


def _read_stop(fields: Fields) -> tuple[str, ...]:
    match fields.get("stop"):
        case None:
            return ()
        case str(stop):
            return (_check_stop(stop, "stop"),)
        case list() as stops:
            if len(stops) > MAX_STOPS:
                raise too_long("stop", "an array", MAX_STOPS, len(stops))
            return tuple(_check_stop(stop, f"stop[{at}]") for at, stop in enumerate(stops))
        case other:
            raise wrong_type("stop", "a string or an array of strings", other)


def _check_stop(value: object, param: str) -> str:
    stop = check_string(value, param)
    if not stop:
        raise empty_string(param)
    if len(stop) > MAX_STOP_LENGTH:
        raise too_long(param, "a string", MAX_STOP_LENGTH, len(stop))
    return stop


def _read_stream_options(fields: Fields) -> StreamOptions:
    options = fields.object("stream_options")
    if options is None:
        return StreamOptions()
    usage = options.boolean("include_usage") is True
    continuous = options.boolean("continuous_usage_stats") is True
    return StreamOptions(include_usage=usage, continuous_usage_stats=usage and continuous)
