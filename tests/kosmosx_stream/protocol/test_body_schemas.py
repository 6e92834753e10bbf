"""The documented schemas and the hand-written decoders agree, in both directions."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any, get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from kosmosx_stream.protocol import client_events
from kosmosx_stream.protocol.accounts import decode_account, decode_change, decode_sign_in
from kosmosx_stream.protocol.body_schemas import BODIES, COMMANDS
from kosmosx_stream.protocol.budgets import decode_budget
from kosmosx_stream.protocol.chat_requests import decode_chat
from kosmosx_stream.protocol.client_events import decode_client_event
from kosmosx_stream.protocol.client_secrets import decode_client_secret
from kosmosx_stream.protocol.conversations import (
    decode_conversation,
    decode_head,
    decode_items,
    decode_update,
)
from kosmosx_stream.protocol.errors import ApiError
from kosmosx_stream.protocol.fields import Fields
from kosmosx_stream.protocol.keys import decode_key, decode_rotation
from kosmosx_stream.protocol.requests import decode_create
from kosmosx_stream.protocol.schemas import Schema
from kosmosx_stream.protocol.sessions import decode_session
from tests.kosmosx_stream.protocol.schema_values import values

Decode = Callable[[bytes], Any]

DECODERS: dict[str, tuple[Schema, Decode]] = {
    "CreateResponse": (BODIES["CreateResponse"], decode_create),
    "CreateConversation": (BODIES["CreateConversation"], decode_conversation),
    "UpdateConversation": (BODIES["UpdateConversation"], decode_update),
    "MoveHead": (BODIES["MoveHead"], decode_head),
    "CreateItems": (BODIES["CreateItems"], decode_items),
    "CreateSession": (BODIES["CreateSession"], decode_session),
    "SetBudget": (BODIES["SetBudget"], lambda body: decode_budget(body, "acct")),
    "CreateClientSecret": (BODIES["CreateClientSecret"], decode_client_secret),
    "CreateChatCompletion": (BODIES["CreateChatCompletion"], decode_chat),
    "CreateAccount": (BODIES["CreateAccount"], decode_account),
    "ChangePassword": (BODIES["ChangePassword"], decode_change),
    "SignIn": (BODIES["SignIn"], decode_sign_in),
    "CreateKey": (BODIES["CreateKey"], partial(decode_key, at=1000.0)),
    "RotateKey": (BODIES["RotateKey"], decode_rotation),
} | {kind: (schema, decode_client_event) for kind, schema in COMMANDS.items()}

SEMANTIC = {
    "mutually_exclusive_parameters", "invalid_image_url", "invalid_stream_id",
    "invalid_schema", "duplicate_name", "tool_not_found", "time_has_passed",
    "invalid_email", "weak_password",
}  # fmt: skip
"""What no schema can say. Whatever else a decoder finds wrong, the schema has to find wrong too."""


def whole(schema: Schema) -> Schema:
    """With all that it refers to."""
    return schema | {"components": {"schemas": BODIES}}


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def refusal(decode: Decode, body: Any) -> ApiError | None:
    try:
        decoded = decode(encoded(body))
    except ApiError as error:
        return error
    return getattr(decoded, "refusal", None)  # A steering's is told by an event of its own.


VALUES = {name: values(schema, BODIES) for name, (schema, _) in DECODERS.items()}
VALIDATORS = {name: Draft202012Validator(whole(schema)) for name, (schema, _) in DECODERS.items()}


@pytest.mark.parametrize("name", DECODERS)
@given(data=st.data())
def test_what_the_schema_allows_is_understood(name: str, data: st.DataObject) -> None:
    body = data.draw(VALUES[name])
    refused = refusal(DECODERS[name][1], body)
    assert refused is None or refused.code in SEMANTIC or "unsupported" in refused.code


SCALARS = st.sampled_from(
    [None, True, -1, 0, 1.5, 3, 10**12, "", "auto", "x" * 70, [], {}, ["x"], [{}], {"id": 1}]
)


def changed(draw: Callable[[Any], Any], value: Any) -> Any:
    """The value with one thing in it replaced or left out."""
    match value:
        case dict() if value and draw(st.booleans()):
            key = draw(st.sampled_from(sorted(value)))
            if draw(st.integers(0, 4)) == 0:
                return {other: value[other] for other in value if other != key}
            return value | {key: changed(draw, value[key])}
        case list() if value and draw(st.booleans()):
            index = draw(st.integers(0, len(value) - 1))
            return [*value[:index], changed(draw, value[index]), *value[index + 1 :]]
        case _:
            return draw(SCALARS)


@pytest.mark.parametrize("name", DECODERS)
@given(data=st.data())
def test_what_the_schema_forbids_is_refused(name: str, data: st.DataObject) -> None:
    body = changed(data.draw, data.draw(VALUES[name]))
    assume(not VALIDATORS[name].is_valid(body))
    assert refusal(DECODERS[name][1], body)


def documented(schema: Any) -> set[str]:
    """The names of fields in a schema and in all that it refers to."""
    found: set[str] = set()
    waiting, seen = [schema], set()
    while waiting:
        match waiting.pop():
            case {"$ref": ref}:
                if ref not in seen:
                    seen.add(ref)
                    waiting.append(BODIES[ref.rpartition("/")[2]])
            case dict() as each:
                found |= set(each.get("properties", ()))
                waiting += each.get("properties", {}).values()
                waiting += [inner for key, inner in each.items() if key != "properties"]
            case list() as each:
                waiting += each
            case _:
                pass
    return found


CHAT = {
    "model": "m",
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "x"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            ],
        },
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "x"}]},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "c", "content": "x"},
    ],
    "stream_options": {},
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "tool_choice": {
        "type": "allowed_tools",
        "allowed_tools": {"tools": [{"type": "function", "function": {"name": "f"}}]},
    },
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}},
}


def test_every_field_that_is_read_is_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    read: set[str] = set()
    get = Fields.get

    def recording(fields: Fields, name: str) -> Any:
        read.add(name)
        return get(fields, name)

    monkeypatch.setattr(Fields, "get", recording)
    picture = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    body = {
        "model": "m",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "x"}, picture]},
            {"role": "assistant", "content": [{"type": "output_text", "text": "x"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "x"},
            {"type": "compaction", "encrypted_content": "x"},
        ],
        "conversation": {"id": "c"},
        "reasoning": {},
        "text": {"format": {"type": "json_schema", "name": "x", "schema": {}}},
        "tools": [{"type": "function", "name": "f"}],
        "tool_choice": {
            "type": "allowed_tools",
            "tools": [{"type": "function", "name": "f"}],
        },
        "metadata": {},
    }
    decode_create(encoded(body))
    decode_conversation(encoded({"items": body["input"]}))
    decode_head(b"{}")
    decode_session(b"{}")
    decode_budget(encoded({"limit_usd": "1", "hard": True}), "acct")
    decode_client_secret(encoded({"origin": "https://a", "expires_after": {}, "session": {}}))
    decode_chat(encoded(CHAT))
    decode_account(encoded({"email": "a@b.de", "password": "x" * 10}))
    decode_change(encoded({"password": "x", "new_password": "x" * 10}))
    decode_sign_in(encoded({"email": "a@b.de", "password": "x"}))
    decode_key(b"{}", at=0)
    decode_rotation(b"{}")
    decode_client_event(encoded(body | {"type": "response.create"}))
    decode_client_event(encoded({"type": "kosmosx:response.cancel", "response_id": "r"}))
    decode_client_event(encoded({"type": "kosmosx:session.close"}))
    names = documented([schema for schema, _ in DECODERS.values()])
    assert read == names


def test_every_command_is_documented() -> None:
    assert tuple(COMMANDS) == client_events._CLIENT_EVENTS
    assert len(COMMANDS) == len(get_args(client_events.ClientEvent))
