"""The OpenAPI 3.1 document of the HTTP API, from its routes, wire types and errors."""

import inspect
import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import msgspec

from kosmosx_stream.protocol.body_schemas import BODIES
from kosmosx_stream.protocol.chat import Chunk
from kosmosx_stream.protocol.errors import (
    ApiError,
    AuthenticationError,
    HttpError,
    InvalidRequest,
    PayloadTooLarge,
    PermissionDenied,
    RateLimited,
    ServerError,
    StreamError,
    Unavailable,
)
from kosmosx_stream.protocol.events import wire_events
from kosmosx_stream.protocol.resources import ConversationChanged
from kosmosx_stream.protocol.schemas import Schema, ref, wire_schemas
from kosmosx_stream.transports.endpoint import Endpoint
from kosmosx_stream.transports.operation import Operation, StreamName
from kosmosx_stream.transports.query import Parameter, Text

INFO = {
    "title": "kosmosx_stream",
    "version": version("kosmosx-stream"),
    "license": {"name": "Apache-2.0"},
}
KEY = {"type": "http", "scheme": "bearer", "description": "A key, as `kosmosx keys create` prints."}
CLIENT_SECRET = {
    "type": "http",
    "scheme": "bearer",
    "description": "A secret of `POST /v1/client_secrets`, from the origin that it names, once.",
}


def openapi(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The document of these routes."""
    types = [each.operation.answer for each in endpoints]
    streams = _streams()
    shapes, named = wire_schemas([*types, *(each for group in streams.values() for each in group)])
    answers, parts = shapes[: len(types)], iter(shapes[len(types) :])
    stream_data = {name: {"oneOf": [next(parts) for _ in each]} for name, each in streams.items()}
    overlap = named.keys() & BODIES.keys()
    assert not overlap, f"two schemas have the same name: {overlap}"
    paths: dict[str, Any] = {}
    for each, answer in zip(endpoints, answers, strict=True):
        documented = _operation(each.path, each.operation, answer)
        if links := _links(each, endpoints):
            documented["responses"]["200"]["links"] = links
        paths.setdefault(each.path, {})[each.method.lower()] = documented
    return {
        "openapi": "3.1.0",
        "info": INFO,
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": KEY, "client_secret": CLIENT_SECRET},
            "responses": _refusals(each.operation for each in endpoints),
            "schemas": BODIES | named | stream_data,
        },
    }


def _streams() -> dict[StreamName, list[type[msgspec.Struct]]]:
    """What the data of the streams' events says."""
    events = [e for e in wire_events() if not str(e.__struct_config__.tag).startswith("kosmosx:")]
    return {
        "ResponseStreamEvent": [StreamError, *events],
        "ChatStreamData": [Chunk, HttpError],
        "ConversationStreamEvent": [ConversationChanged, StreamError],
    }


def _operation(path: str, each: Operation, answer: Schema) -> dict[str, Any]:
    content = {} if each.answer is None else {"application/json": {"schema": answer}}
    if each.streams is not None:
        content["text/event-stream"] = {"schema": _server_sent(each.streams)}
    if each.text is not None:
        content[each.text] = {"schema": {"type": "string"}}
    answers: dict[str, Any] = {"200": {"description": "Success.", "content": content}}
    if each.no_content is not None:
        answers["204"] = {"description": each.no_content}
    for error in _refuses(each):
        answers[str(error.status)] = {"$ref": f"#/components/responses/{error.__name__}"}
    documented: dict[str, Any] = {
        "operationId": _operation_id(each),
        "tags": [_tag(each)],
        "summary": summary(each.handler),
        "parameters": _parameters(path, each),
        "responses": answers,
    }
    if each.needs == "nothing":
        documented["security"] = []
    if each.client_secrets:
        documented["security"] = [{"key": []}, {"client_secret": []}]
    if each.body is not None:
        documented["requestBody"] = {
            "required": each.body_required,
            "content": {"application/json": {"schema": ref(each.body)}},
        }
    return documented


def _server_sent(name: StreamName) -> Schema:
    """One event of a stream, field by field (HTML 9.2.6), as OpenAPI 3.2 describes them."""
    data: Schema = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": ref(name),
    }
    if name == "ChatStreamData":
        data = {"anyOf": [data, {"const": "[DONE]"}]}
    return {
        "type": "object",
        "properties": {
            "event": {"type": "string", "description": "The `type` of the data."},
            "data": data,
            "id": {"type": "string", "description": "Its number, for `Last-Event-ID`."},
            "retry": {"type": "integer", "description": "Milliseconds before a reconnection."},
        },
        "required": ["data"],
    }


def _operation_id(each: Operation) -> str:
    return f"{_tag(each)}.{each.handler.__name__}"


def _tag(each: Operation) -> str:
    return each.handler.__module__.rpartition(".")[2]


def _links(creator: Endpoint, endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """What can be done next with the id of what was created."""
    if creator.method != "POST" or "id" not in getattr(
        creator.operation.answer, "__struct_fields__", ()
    ):
        return {}
    named = re.compile(re.escape(creator.path) + r"/\{(\w+)\}[^{]*")
    found = [(each, named.fullmatch(each.path)) for each in endpoints]
    return {
        _operation_id(each.operation): {
            "operationId": _operation_id(each.operation),
            "parameters": {match[1]: "$response.body#/id"},
        }
        for each, match in found
        if match
    }


def summary(documented: Any) -> str:
    """The first paragraph of a docstring, without the path that it may begin with."""
    paragraph = " ".join((inspect.getdoc(documented) or "").split("\n\n")[0].split())
    text = re.sub(r"^`[A-Z]+ [^`]*`: ", "", paragraph)
    return text[:1].upper() + text[1:]


def _parameters(path: str, each: Operation) -> list[dict[str, Any]]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", path)
    ]
    return [
        *in_path,
        *(_parameter("query", parameter) for parameter in each.query),
        *(_parameter("header", header) for header in each.headers),
    ]


def _parameter(place: str, parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": place,
        "description": parameter.says,
        "schema": parameter.schema,
    }


def _refuses(each: Operation) -> list[type[ApiError]]:
    # 403: a client secret is not for this; 429: too many connections of one account.
    always = [AuthenticationError, PermissionDenied, RateLimited, ServerError, Unavailable]
    if each.body is not None:
        always += [InvalidRequest, PayloadTooLarge]
    if any(not isinstance(parameter, Text) for parameter in each.query):
        always.append(InvalidRequest)
    return sorted({*always, *each.refuses}, key=lambda error: error.status)


def _refusals(operations: Iterable[Operation]) -> dict[str, Any]:
    errors = {error for each in operations for error in _refuses(each)}
    return {
        error.__name__: {
            "description": f"{HTTPStatus(error.status).phrase}. {summary(error)}",
            "content": {"application/json": {"schema": ref("HttpError")}},
        }
        for error in sorted(errors, key=lambda error: error.status)
    }
