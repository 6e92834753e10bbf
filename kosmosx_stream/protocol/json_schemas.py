"""JSON Schemas that clients send, checked as far as that is possible without compiling them.

What they demand of an answer is `grammar`'s business; here they are kept small.
"""

from typing import Any

import msgspec

from kosmosx_stream.protocol.errors import InvalidRequest
from kosmosx_stream.protocol.fields import Fields

MAX_SCHEMA_BYTES = 32 * 1024
MAX_REPEATS = 1000
"""The most items or properties that a schema may count: each takes room in its grammar."""

_COUNTS = ("minItems", "maxItems", "minProperties", "maxProperties")


def check_schema(schema: Fields, *, arguments: bool = False) -> None:
    """Refuse what would be too much. `arguments` of a function are always an object.

    Raises:
        InvalidRequest: `invalid_schema`, naming the schema's own field.
    """
    value = schema.value
    if arguments and value.get("type", "object") != "object":
        raise invalid_schema(schema.path, "arguments are an object: expected the type 'object'")
    if len(msgspec.json.encode(value)) > MAX_SCHEMA_BYTES:
        raise invalid_schema(schema.path, f"it has more than {MAX_SCHEMA_BYTES // 1024} KiB")
    waiting: list[Any] = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            _check_counts(each, schema.path)
        waiting += each.values() if isinstance(each, dict) else each
        waiting = [inner for inner in waiting if isinstance(inner, dict | list)]


def invalid_schema(param: str, why: str) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid schema for '{param}': {why}.", code="invalid_schema", param=param
    )


def _check_counts(schema: dict[str, Any], param: str) -> None:
    for keyword in _COUNTS:
        count = schema.get(keyword)
        if isinstance(count, int | float) and count > MAX_REPEATS:
            raise invalid_schema(param, f"'{keyword}' is more than {MAX_REPEATS}")
