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
    ServerError,
    StreamError,
    Unavailable,
)
from kosmosx_stream.protocol.events import wire_events
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
        method = each.method.lower()
        paths.setdefault(each.path, {})[method] = _operation(each.path, each.operation, answer)
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
    """What the streams carry; OpenAPI has no word for the `[DONE]` at a chat stream's end."""
    events = [e for e in wire_events() if not str(e.__struct_config__.tag).startswith("kosmosx:")]
    return {
        "ResponseStreamEvent": [StreamError, *events],
        "ChatStreamData": [Chunk, HttpError],
    }


def _operation(path: str, each: Operation, answer: Schema) -> dict[str, Any]:
    handler = each.handler
    module = handler.__module__.rpartition(".")[2]
    content = {"application/json": {"schema": answer}}
    if each.streams is not None:
        content["text/event-stream"] = {"schema": ref(each.streams)}
    answers: dict[str, Any] = {"200": {"description": "Success.", "content": content}}
    for error in _refuses(each):
        answers[str(error.status)] = {"$ref": f"#/components/responses/{error.__name__}"}
    documented: dict[str, Any] = {
        "operationId": f"{module}.{handler.__name__}",
        "tags": [module],
        "summary": summary(handler),
        "parameters": _parameters(path, each),
        "responses": answers,
    }
    if each.client_secrets:
        documented["security"] = [{"key": []}, {"client_secret": []}]
    if each.body is not None:
        documented["requestBody"] = {
            "required": each.body_required,
            "content": {"application/json": {"schema": ref(each.body)}},
        }
    return documented


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
    always = [AuthenticationError, ServerError, Unavailable]
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
