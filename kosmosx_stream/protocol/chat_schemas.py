"""JSON Schema of what clients of Chat Completions send; see `body_schemas`."""

from kosmosx_stream.protocol.chat_requests import MAX_SEED, MAX_STOP_LENGTH, MAX_STOPS
from kosmosx_stream.protocol.inputs import DETAILS
from kosmosx_stream.protocol.schema_terms import (
    BOOLEAN,
    LABEL,
    METADATA,
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
    parallel_tool_calls=BOOLEAN,
    user=TEXT,
    safety_identifier=LABEL,
    prompt_cache_key=LABEL,
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
        ref("ChatUserMessage"), ref("ChatAssistantMessage"), ref("ChatInstructionMessage")
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
