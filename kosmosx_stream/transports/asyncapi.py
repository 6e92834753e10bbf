"""The AsyncAPI 3.0 document of the WebSocket, from its commands and events."""

from typing import Any

from kosmosx_stream.protocol.body_schemas import BODIES, COMMANDS, STREAM_ID
from kosmosx_stream.protocol.errors import SocketError
from kosmosx_stream.protocol.events import wire_events
from kosmosx_stream.protocol.rate_limits import RateLimitsUpdated
from kosmosx_stream.protocol.schemas import Schema, wire_schemas
from kosmosx_stream.protocol.sessions import SessionClosed
from kosmosx_stream.protocol.steering import SteerAccepted, SteerFailed, SteerPending
from kosmosx_stream.transports.openapi import CLIENT_SECRET, INFO, KEY, summary
from kosmosx_stream.transports.websocket import QUERY


def asyncapi() -> dict[str, Any]:
    """The document of `/v1/responses` as a WebSocket."""
    events = [
        *wire_events(),
        SteerAccepted,
        SteerPending,
        SteerFailed,
        RateLimitsUpdated,
        SessionClosed,
        SocketError,
    ]
    shapes, named = wire_schemas(events)
    commands = {_key(kind): _command(kind, schema) for kind, schema in COMMANDS.items()}
    answers = {
        _key(_kind(event)): _event(event, shape)
        for event, shape in zip(events, shapes, strict=True)
    }
    document: dict[str, Any] = {
        "asyncapi": "3.0.0",
        "info": INFO,
        "defaultContentType": "application/json",
        "channels": {"responses": _channel([*commands, *answers])},
        "operations": {
            "command": _operation("receive", "What clients say.", list(commands)),
            "event": _operation("send", "What the server says.", list(answers)),
        },
        "components": {
            "messages": commands | answers,
            "schemas": BODIES | named,
            "securitySchemes": {"key": KEY, "client_secret": CLIENT_SECRET},
        },
    }
    return {key: _without_discriminators(value) for key, value in document.items()}


def _channel(messages: list[str]) -> dict[str, Any]:
    query = {each.name: each.schema | {"description": each.says} for each in QUERY}
    return {
        "address": "/v1/responses",
        "title": "Responses",
        "description": "A connection is a session. Text frames, each one JSON object.",
        "messages": {key: {"$ref": f"#/components/messages/{key}"} for key in messages},
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {"type": "object", "properties": query},
                "bindingVersion": "0.1.0",
            }
        },
    }


def _operation(action: str, title: str, messages: list[str]) -> dict[str, Any]:
    channel = "#/channels/responses"
    return {
        "action": action,
        "title": title,
        "channel": {"$ref": channel},
        "security": [
            {"$ref": f"#/components/securitySchemes/{scheme}"}
            for scheme in ("key", "client_secret")
        ],
        "messages": [{"$ref": f"{channel}/messages/{key}"} for key in messages],
    }


def _command(kind: str, schema: Schema) -> Schema:
    says = schema.get("description") or schema["allOf"][-1]["description"]
    return {"name": kind, "summary": says, "payload": schema}


def _event(event: Any, shape: Schema) -> Schema:
    in_lane = {"type": "object", "properties": {"stream_id": STREAM_ID}}
    return {"name": _kind(event), "summary": summary(event), "payload": {"allOf": [shape, in_lane]}}


def _kind(event: Any) -> str:
    return str(event.__struct_config__.tag)


def _key(kind: str) -> str:
    """AsyncAPI allows no colon in the names of components."""
    return kind.replace(":", ".")


def _without_discriminators(document: Any) -> Any:
    """OpenAPI's `discriminator` is an object, AsyncAPI's would be a string; it is a hint only."""
    match document:
        case dict():
            return {
                key: _without_discriminators(value)
                for key, value in document.items()
                if key != "discriminator"
            }
        case list():
            return [_without_discriminators(each) for each in document]
        case _:
            return document
