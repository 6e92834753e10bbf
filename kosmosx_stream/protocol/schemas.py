"""JSON Schema of what the server says, from its wire types.

The schemas are valid under JSON Schema 2020-12 (OpenAPI 3.1) and draft-07 (AsyncAPI 3.0) alike.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

Schema = dict[str, Any]

_REF = "#/components/schemas/{name}"


def ref(name: str) -> Schema:
    """A reference to a named schema of the same document."""
    return {"$ref": _REF.format(name=name)}


def wire_schemas(types: Sequence[Any]) -> tuple[list[Schema], dict[str, Schema]]:
    """A schema for each type, and the named ones that they refer to.

    `types`: structs that are encoded whole, and what is made of them (lists, unions).
    """
    schemas, named = msgspec.json.schema_components(types, ref_template=_REF)
    for schema in named.values():
        _require_defaults(schema)
        for inner in schema.get("properties", {}).values():
            _flatten_tuples(inner)
    return list(schemas), dict(named)


def _require_defaults(schema: Schema) -> None:
    """A field with a default is sent all the same; only an unset one, which has none, is not."""
    required = set(schema.get("required", ()))
    for name, field in schema.get("properties", {}).items():
        if "default" in field:
            del field["default"]
            required.add(name)
    if "properties" in schema:
        schema["required"] = [name for name in schema["properties"] if name in required]


def _flatten_tuples(schema: Any) -> None:
    """Four numbers are an array of numbers; `prefixItems` means nothing to draft-07."""
    if isinstance(schema, list):
        for each in schema:
            _flatten_tuples(each)
    elif isinstance(schema, dict):
        if "prefixItems" in schema:
            (schema["items"],) = {str(item): item for item in schema.pop("prefixItems")}.values()
        for each in schema.values():
            _flatten_tuples(each)
