"""Stripe's side of the contract: whether a request, and its answer, are as Stripe describes them.

The description is Stripe's official OpenAPI document (github.com/stripe/openapi, MIT licence),
trimmed to what is called here.
"""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import jsonschema_rs

DOCUMENT = Path(__file__).parents[1] / "data" / "stripe-2026-05-27.openapi.json"
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


class ContractBroken(AssertionError):
    """A request or an answer is not as Stripe's description says."""


@cache
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = _nullable(json.loads(DOCUMENT.read_text()))
    for operations in loaded["paths"].values():
        for operation in operations.values():
            operation["x-query"] = _query_schema(operation.get("parameters", []))
    return loaded


def _query_schema(parameters: list[dict[str, Any]]) -> dict[str, Any]:
    described = [each for each in parameters if each["in"] == "query"]
    required = [each["name"] for each in described if each.get("required")]
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {each["name"]: each["schema"] for each in described},
        **({"required": required} if required else {}),
    }


def read_request(method: str, path: str, query: str, content_type: str, body: bytes) -> Any:
    """The parameters of a request, with their types; the query's and the body's together.

    Raises:
        ContractBroken: no such operation, an unknown or missing parameter, a wrong type.
    """
    operation = _operation(method, path)
    asked = operation["x-query"]
    where = f"{method} {path}"
    parameters = _typed(_nested(query), asked)
    _check(parameters, asked, f"{where}: query")
    content = operation.get("requestBody", {}).get("content", {})
    if not body or (content_type == JSON and json.loads(body) == {}):
        return parameters
    if JSON in content and content_type == JSON:
        sent, schema = json.loads(body), content[JSON]["schema"]
    elif FORM in content and content_type == FORM:
        schema = content[FORM]["schema"]
        sent = _typed(_nested(body.decode()), schema)
    else:
        raise ContractBroken(f"{where}: cannot take {content_type}")
    _check(sent, schema, f"{where}: body")
    return {**parameters, **sent}


def check_answer(method: str, path: str, status: int, answer: Any) -> None:
    """See that an answer of ours is one that Stripe could give.

    Raises:
        ContractBroken: it is not.
    """
    responses = _operation(method, path)["responses"]
    described = responses.get(str(status), responses["default"])
    _check(answer, described["content"][JSON]["schema"], f"{method} {path}: {status}")


def _operation(method: str, path: str) -> dict[str, Any]:
    for template, operations in document()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            found: dict[str, Any] | None = operations.get(method.lower())
            if found is not None:
                return found
    raise ContractBroken(f"{method} {path}: not described")


def _check(value: Any, schema: dict[str, Any], where: str) -> None:
    errors = [error.message for error in _validator(schema).iter_errors(value)]
    if errors:
        raise ContractBroken(f"{where}: {'; '.join(errors)}")


def _validator(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    # All schemas are parts of the document, which stays where it is.
    if id(schema) not in _validators:
        whole = {**schema, "components": document()["components"]}
        _validators[id(schema)] = jsonschema_rs.Draft4Validator(whole)
    return _validators[id(schema)]


_validators: dict[int, jsonschema_rs.Validator] = {}


def _nullable(node: Any) -> Any:
    """OpenAPI 3.0's `nullable`, as JSON Schema says it."""
    if isinstance(node, list):
        return [_nullable(each) for each in node]
    if not isinstance(node, dict):
        return node
    # Some of Stripe's `oneOf` say less than they mean: an error of one kind is any error, too.
    made = {"anyOf" if name == "oneOf" else name: _nullable(each) for name, each in node.items()}
    if made.pop("nullable", False) is True:
        return {"anyOf": [made, {"type": "null"}]}
    return made


def _nested(encoded: str) -> dict[str, Any]:
    """`a[b][0]=c` is `{"a": {"b": ["c"]}}`."""
    root: dict[str, Any] = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True, strict_parsing=bool(encoded)):
        first, *rest = re.findall(r"[^\[\]]+", name)
        node = root
        for key, following in zip([first, *rest], [*rest, None], strict=True):
            if following is None:
                node[key] = value
            else:
                node = node.setdefault(key, {})
    return {name: _listed(value) for name, value in root.items()}


def _listed(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node and all(key.isdigit() for key in node):
        return [_listed(node[key]) for key in sorted(node, key=int)]
    return {key: _listed(value) for key, value in node.items()}


def _typed(value: Any, schema: dict[str, Any]) -> Any:
    """The words of a form, as the types that are described; what does not fit stays a word."""
    for choice in schema.get("anyOf", ()):
        typed = _typed(value, choice)
        if _validator(choice).is_valid(typed):
            return typed
    match value, schema.get("type"):
        case str(), "integer" if re.fullmatch(r"-?\d+", value):
            return int(value)
        case str(), "boolean" if value in {"true", "false"}:
            return value == "true"
        case dict(), _:
            known, others = schema.get("properties", {}), schema.get("additionalProperties")
            others = others if isinstance(others, dict) else {}
            return {key: _typed(each, known.get(key, others)) for key, each in value.items()}
        case list(), "array":
            return [_typed(each, schema.get("items", {})) for each in value]
    return value
