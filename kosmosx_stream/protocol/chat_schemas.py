"""JSON Schema of what clients of Chat Completions send; see `body_schemas`."""

from typing import get_args

from kosmosx_stream.protocol.chat_requests import MAX_SEED, MAX_STOP_LENGTH, MAX_STOPS
from kosmosx_stream.protocol.inputs import DETAILS
from kosmosx_stream.protocol.schema_terms import (
    BOOLEAN,
    CALL_ID,
    FALSE,
    JSON_SCHEMA,
    LABEL,
    METADATA,
    NAME_TEXT,
    NO_FIELDS,
    NO_ITEMS,
    NULL,
    TEXT,
    any_of,
    array,
    body,
    integer,
    number,
    one_of,
    says,
)
from kosmosx_stream.protocol.schemas import Schema, ref
from kosmosx_stream.protocol.tools import MAX_TOOLS, ChoiceMode

_STOP: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_STOP_LENGTH}

_CREATE = body(
    "What to answer, and how; the whole conversation is in it.",
    {
        "model": says(TEXT, "One of `GET /v1/models`."),
        "messages": array(ref("ChatMessage"), least=1),
    },
    stream=says(BOOLEAN, "Whether to send server-sent events as the answer comes."),
    stream_options=body(
        "What a stream says beside the answer.",
        {},
        include_usage=says(BOOLEAN, "The usage in one more chunk before the end."),
        continuous_usage_stats=says(BOOLEAN, "With it, the usage so far in every chunk (vLLM's)."),
    ),
    store=says(BOOLEAN, "Whether the answer can be retrieved and continued later; default false."),
    max_completion_tokens=integer(1),
    max_tokens=says(integer(1), "The older name of `max_completion_tokens`."),
    temperature=says(number(0, 2), "Default 0: the likeliest token each time."),
    top_p=number(0, 1),
    seed=says(integer(-MAX_SEED, MAX_SEED), "The same seed and request draw the same tokens."),
    stop=says(
        any_of(_STOP, array(_STOP) | {"maxItems": MAX_STOPS}),
        "The answer ends before the first of these that it says.",
    ),
    metadata=METADATA,
    extension_grounding=says(BOOLEAN, "Whether to tie phrases of the answer to boxes."),
    tools=says(array(ref("ChatTool")) | {"maxItems": MAX_TOOLS}, "What the model may call."),
    tool_choice=any_of(
        one_of(*get_args(ChoiceMode)), ref("ChatFunctionChoice"), ref("ChatAllowedTools")
    ),
    parallel_tool_calls=BOOLEAN,
    response_format=any_of(
        body("Words.", {"type": one_of("text")}),
        body("A JSON object.", {"type": one_of("json_object")}),
        ref("ChatJsonSchema"),
    ),
    user=TEXT,
    safety_identifier=LABEL,
    prompt_cache_key=LABEL,
    n=integer(1, 1),
    functions=says(NO_ITEMS, "The older name of `tools`."),
    function_call=says(one_of("auto", "none"), "The older name of `tool_choice`."),
    verbosity=one_of("medium"),
    audio=says(NULL, "Answers are text."),
    modalities=array(one_of("text")),
    logprobs=FALSE,
    top_logprobs=integer(0, 0),
    logit_bias=NO_FIELDS,
    presence_penalty=number(0, 0),
    frequency_penalty=number(0, 0),
    web_search_options=says(NULL, "The server runs no tools."),
    moderation=says(NULL, "There is none."),
    prediction=says({"type": "object"}, "It would only make the answer faster, and does not."),
    reasoning_effort=says(TEXT, "The model does not reason."),
    service_tier=says(TEXT, "There is one tier."),
)

_IMAGE = body(
    "A picture.",
    {
        "type": one_of("image_url"),
        "image_url": body(
            "Where it is.",
            {"url": says(TEXT, "A data: URL of a PNG, JPEG or WebP picture.")},
            detail=one_of(*DETAILS),
        ),
    },
)


def _message(description: str, roles: tuple[str, ...], *parts: str, **optional: Schema) -> Schema:
    content = any_of(TEXT, array(any_of(*map(ref, parts)), least=1))
    return body(description, {"role": one_of(*roles), "content": content}, name=TEXT, **optional)


CHAT_BODIES: dict[str, Schema] = {
    "CreateChatCompletion": _CREATE,
    "ChatMessage": any_of(
        ref("ChatUserMessage"),
        ref("ChatAssistantMessage"),
        ref("ChatCallingMessage"),
        ref("ChatInstructionMessage"),
        ref("ChatToolMessage"),
    ),
    "ChatCallingMessage": body(
        "Calls that the model made.",
        {
            "role": one_of("assistant"),
            "tool_calls": array(
                body(
                    "One call.",
                    {
                        "id": CALL_ID,
                        "type": one_of("function"),
                        "function": body("Which.", {"name": NAME_TEXT, "arguments": TEXT}),
                    },
                ),
                least=1,
            ),
        },
        content=any_of(TEXT, array(ref("ChatText"), least=1)),
        name=TEXT,
    ),
    "ChatToolMessage": body(
        "What a function gave; its call was made before.",
        {
            "role": one_of("tool"),
            "tool_call_id": CALL_ID,
            "content": any_of(TEXT, array(ref("ChatText"), least=1)),
        },
        name=TEXT,
    ),
    "ChatTool": body(
        "A function of the client.",
        {
            "type": one_of("function"),
            "function": body(
                "What it is.",
                {"name": NAME_TEXT},
                description=TEXT,
                parameters=says(JSON_SCHEMA, "JSON Schema of its arguments, which are an object."),
                strict=BOOLEAN,
            ),
        },
    ),
    "ChatFunctionChoice": body(
        "This function has to be called.",
        {"type": one_of("function"), "function": body("Which.", {"name": NAME_TEXT})},
    ),
    "ChatAllowedTools": body(
        "Only these may be called.",
        {
            "type": one_of("allowed_tools"),
            "allowed_tools": body(
                "Which.",
                {"tools": array(ref("ChatFunctionChoice"), least=1)},
                mode=one_of(*get_args(ChoiceMode)),
            ),
        },
    ),
    "ChatJsonSchema": body(
        "JSON that a schema describes.",
        {
            "type": one_of("json_schema"),
            "json_schema": body(
                "Which.",
                {"name": NAME_TEXT, "schema": JSON_SCHEMA},
                description=TEXT,
                strict=BOOLEAN,
            ),
        },
    ),
    "ChatUserMessage": _message("What a user says.", ("user",), "ChatText", "ChatImage"),
    "ChatAssistantMessage": _message(
        "What the model said earlier.", ("assistant",), "ChatText", "ChatRefusal"
    ),
    "ChatInstructionMessage": _message(
        "What the developer tells the model.", ("system", "developer"), "ChatText"
    ),
    "ChatText": body("Text.", {"type": one_of("text"), "text": TEXT}),
    "ChatRefusal": body("What was said instead.", {"type": one_of("refusal"), "refusal": TEXT}),
    "ChatImage": _IMAGE,
}
"""By their names in the OpenAPI document."""
