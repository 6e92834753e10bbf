"""JSON Schema of what clients send: the decoders' contract, as the API documents show it.

The decoders themselves are written by hand, for their error messages; the tests hold them to these
schemas field by field. An optional field may be null, which is the same as leaving it out; fields
that no schema names are ignored, but for `kosmosx:` ones.
"""

from typing import get_args

from kosmosx_stream.protocol import client_events, client_secrets
from kosmosx_stream.protocol.account_schemas import ACCOUNT_BODIES
from kosmosx_stream.protocol.chat_schemas import CHAT_BODIES
from kosmosx_stream.protocol.conversations import MAX_ITEMS
from kosmosx_stream.protocol.idempotency import MAX_LENGTH
from kosmosx_stream.protocol.inputs import DETAILS
from kosmosx_stream.protocol.refusals import INCLUDABLE
from kosmosx_stream.protocol.requests import MIN_OUTPUT_TOKENS, Effort, Summary, Truncation
from kosmosx_stream.protocol.schema_terms import (
    BOOLEAN,
    CALL_ID,
    JSON_SCHEMA,
    LABEL,
    METADATA,
    NAME_TEXT,
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
from kosmosx_stream.protocol.stripe_events import STRIPE_BODIES
from kosmosx_stream.protocol.tools import MAX_TOOLS, ChoiceMode

_INPUT_TEXT = body(
    "What a user or a developer wrote.", {"type": one_of("input_text"), "text": TEXT}
)
_INPUT_IMAGE = body(
    "A picture.",
    {
        "type": one_of("input_image"),
        "image_url": says(
            TEXT,
            "A data: URL of a PNG, JPEG or WebP picture; or an https: URL, where the server "
            "fetches pictures.",
        ),
    },
    detail=one_of(*DETAILS),
    file_id=says(NULL, "There are no files here."),
)
_OUTPUT_TEXT = body(
    "What the model answered earlier.", {"type": one_of("output_text"), "text": TEXT}
)


def _message(description: str, roles: tuple[str, ...], *parts: str) -> Schema:
    content = any_of(TEXT, array(any_of(*map(ref, parts)), least=1))
    return body(
        description,
        {"role": one_of(*roles), "content": content},
        type=one_of("message"),
        id=TEXT,
        status=TEXT,
    )


_CREATE_RESPONSE = body(
    "What to answer, and how.",
    {
        "model": says(TEXT, "One of `GET /v1/models`."),
        "input": says(
            any_of(TEXT, array(ref("InputItem"), least=1)), "A user's words, or messages."
        ),
    },
    instructions=says(TEXT, "What the model is told before all else, for this response only."),
    previous_response_id=says(TEXT, "The response that this one goes on from."),
    conversation=says(
        any_of(TEXT, body("A conversation by its id.", {"id": TEXT})),
        "The conversation that this turn is a part of. With a `previous_response_id` it goes on "
        "after that response instead of its newest one: another version of what followed.",
    ),
    stream=says(BOOLEAN, "Whether to send server-sent events as the answer comes."),
    store=says(BOOLEAN, "Whether the response can be retrieved and continued later; default true."),
    background=says(
        BOOLEAN, "Whether to return at once, and go on though nobody reads; needs `store`."
    ),
    generate=says(BOOLEAN, "False warms up: the prompt is read and kept, and nothing is said."),
    max_output_tokens=integer(MIN_OUTPUT_TOKENS),
    temperature=says(number(0, 2), "Default 0: the likeliest token each time."),
    top_p=number(0, 1),
    truncation=says(
        one_of(*get_args(Truncation)),
        "What to do with a history beyond the context window: drop the oldest turns, or refuse.",
    ),
    metadata=METADATA,
    extension_grounding=says(BOOLEAN, "Whether to tie phrases of the answer to boxes."),
    parallel_tool_calls=BOOLEAN,
    tools=says(
        array(ref("FunctionToolParam")) | {"maxItems": MAX_TOOLS}, "What the model may call."
    ),
    tool_choice=any_of(
        one_of(*get_args(ChoiceMode)), ref("FunctionChoiceParam"), ref("AllowedToolsParam")
    ),
    max_tool_calls=integer(1),
    text=body(
        "How the answer has to be.",
        {},
        format=any_of(
            *map(ref, ("PlainFormatParam", "JsonObjectFormatParam", "JsonSchemaFormatParam"))
        ),
        verbosity=one_of("medium"),
    ),
    reasoning=body(
        "Accepted and echoed; the model does not reason.",
        {},
        effort=one_of(*get_args(Effort)),
        summary=one_of(*get_args(Summary)),
    ),
    user=TEXT,
    safety_identifier=LABEL,
    prompt_cache_key=LABEL,
    include=says(array(one_of(*INCLUDABLE)), "Nothing of it is in an answer of this server."),
    prompt=says(NULL, "There are no stored prompts here."),
    top_logprobs=integer(0, 0),
    presence_penalty=number(0, 0),
    frequency_penalty=number(0, 0),
    stream_options=says({"type": "object"}, "Nothing is obfuscated, whatever they say."),
    service_tier=says(TEXT, "There is one tier."),
)

STREAM_ID: Schema = {
    "type": "string",
    "pattern": f"^{client_events.STREAM_ID.pattern}$",
    "description": "The command's lane: within one, commands wait for each other.",
}

_ITEMS = array(ref("InputItem")) | {"maxItems": MAX_ITEMS}

BODIES: dict[str, Schema] = {
    "CreateResponse": _CREATE_RESPONSE,
    "InputItem": any_of(
        ref("UserMessage"),
        ref("AssistantMessage"),
        ref("InstructionMessage"),
        ref("FunctionCall"),
        ref("FunctionCallOutput"),
        ref("Compaction"),
        ref("ItemReference"),
    ),
    "FunctionCall": body(
        "A call that the model made.",
        {"type": one_of("function_call"), "call_id": CALL_ID, "name": NAME_TEXT, "arguments": TEXT},
        id=TEXT,
        status=TEXT,
    ),
    "FunctionCallOutput": body(
        "What a function gave; its call was made before.",
        {
            "type": one_of("function_call_output"),
            "call_id": CALL_ID,
            "output": any_of(TEXT, array(any_of(ref("InputText"), ref("InputImage")), least=1)),
        },
        id=TEXT,
        status=TEXT,
    ),
    "FunctionToolParam": body(
        "A function of the client.",
        {"type": one_of("function"), "name": NAME_TEXT},
        description=TEXT,
        parameters=says(JSON_SCHEMA, "JSON Schema of its arguments, which are an object."),
        strict=says(BOOLEAN, "Echoed; arguments always keep to their schema."),
    ),
    "FunctionChoiceParam": body(
        "This function has to be called.", {"type": one_of("function"), "name": NAME_TEXT}
    ),
    "AllowedToolsParam": body(
        "Only these may be called.",
        {
            "type": one_of("allowed_tools"),
            "tools": array(ref("FunctionChoiceParam"), least=1),
        },
        mode=one_of(*get_args(ChoiceMode)),
    ),
    "PlainFormatParam": body("Words.", {"type": one_of("text")}),
    "JsonObjectFormatParam": body("A JSON object.", {"type": one_of("json_object")}),
    "JsonSchemaFormatParam": body(
        "JSON that a schema describes.",
        {"type": one_of("json_schema"), "name": NAME_TEXT, "schema": JSON_SCHEMA},
        description=TEXT,
        strict=says(BOOLEAN, "Echoed; the answer always keeps to its schema."),
    ),
    "UserMessage": _message("What a user says.", ("user",), "InputText", "InputImage"),
    "AssistantMessage": _message("What the model said earlier.", ("assistant",), "OutputText"),
    "InstructionMessage": _message(
        "What the developer tells the model.", ("system", "developer"), "InputText"
    ),
    "Compaction": body(
        "What `POST /v1/responses/compact` returned, unchanged.",
        {"type": one_of("compaction"), "encrypted_content": TEXT},
        id=TEXT,
    ),
    "ItemReference": body(
        "An item of a stored response, or of the conversation that is gone on with.",
        {"id": {"type": "string", "minLength": 1}},
        type=one_of("item_reference"),
    ),
    "CompactResponse": body(
        "What to abridge: a chain of responses, further input, or both.",
        {"model": says(TEXT, "One of `GET /v1/models`.")},
        input=any_of(TEXT, array(ref("InputItem"), least=1)),
        previous_response_id=says(TEXT, "The last response of the chain."),
        instructions=TEXT,
        prompt_cache_key=LABEL,
    ),
    "InputText": _INPUT_TEXT,
    "InputImage": _INPUT_IMAGE,
    "OutputText": _OUTPUT_TEXT,
    "CreateConversation": body("A new conversation.", {}, items=_ITEMS, metadata=METADATA),
    "UpdateConversation": body(
        "What is to be known of a conversation.", {"metadata": any_of(METADATA, {"type": "null"})}
    ),
    "MoveHead": body(
        "Where a conversation is to go on from.",
        {},
        turn_id=says(TEXT, "The `kosmosx:turn_id` of an item, or a response; else its beginning."),
    ),
    "CreateClientSecret": body(
        "What a secret is to be good for.",
        {
            "origin": {
                "type": "string",
                "pattern": f"^{client_secrets.ORIGIN.pattern}$",
                "description": "Where the page is that will use it: `https://app.example.com`.",
            }
        },
        expires_after=body(
            "How long it may be used to connect; what it has opened goes on.",
            {},
            anchor=one_of(*client_secrets.ANCHORS),
            seconds=integer(client_secrets.SHORTEST_LIFE_S, client_secrets.LONGEST_LIFE_S),
        ),
        session=body(
            "The session that it joins: an open one by its id, else a new one.",
            {},
            id=TEXT,
            metadata=METADATA,
        ),
        conversation=says(TEXT, "The one conversation that its turns may be a part of."),
        max_output_tokens=says(integer(MIN_OUTPUT_TOKENS), "The most that a response may ask for."),
    ),
    "CreateSession": body("A new session.", {}, metadata=METADATA),
    "CreateItems": body("More items of a conversation.", {"items": _ITEMS | {"minItems": 1}}),
    **CHAT_BODIES,
    **ACCOUNT_BODIES,
    **STRIPE_BODIES,
}
"""By their names in the OpenAPI document."""

COMMANDS: dict[str, Schema] = {
    "response.create": {
        "allOf": [
            ref("CreateResponse"),
            body(
                "Begin a response.",
                {"type": one_of("response.create")},
                stream_id=STREAM_ID,
                extension_idempotency_key=says(
                    {"type": "string", "minLength": 1, "maxLength": MAX_LENGTH},
                    "Sent again with the same key, also on another connection, it gets the same "
                    "response from its start, billed once.",
                ),
            ),
        ]
    },
    "response.steer": body(
        "Say something into the middle of an answer; another one goes on from there.",
        {
            "type": one_of("response.steer"),
            "previous_response_id": says(TEXT, "The response that is under way."),
            "input": says(
                any_of(TEXT, array(ref("UserMessage"), least=1)), "What a user says meanwhile."
            ),
        },
    ),
    "kosmosx:response.cancel": body(
        "Stop a response; it ends as incomplete.",
        {"type": one_of("kosmosx:response.cancel"), "response_id": TEXT},
        stream_id=STREAM_ID,
    ),
    "kosmosx:session.close": body(
        "Stop what is live, and close the session; its receipt is the last event.",
        {"type": one_of("kosmosx:session.close")},
        stream_id=STREAM_ID,
    ),
}
"""What clients say on a WebSocket, by `type`."""
