"""The terms in which the schemas of requests are written."""

from kosmosx_stream.protocol.fields import MAX_INTEGER
from kosmosx_stream.protocol.inputs import MAX_CALL_ID
from kosmosx_stream.protocol.requests import MAX_LABEL
from kosmosx_stream.protocol.schemas import Schema
from kosmosx_stream.protocol.tools import NAME

TEXT: Schema = {"type": "string"}
BOOLEAN: Schema = {"type": "boolean"}
NAME_TEXT: Schema = {"type": "string", "pattern": f"^{NAME.pattern}$"}
CALL_ID: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_CALL_ID}
JSON_SCHEMA: Schema = {"type": "object"}
NULL: Schema = {"type": "null"}
NO_FIELDS: Schema = {"type": "object", "maxProperties": 0}
NO_ITEMS: Schema = {"type": "array", "maxItems": 0}
FALSE: Schema = {"type": "boolean", "enum": [False]}
LABEL: Schema = {"type": "string", "maxLength": MAX_LABEL}


def one_of(*values: str) -> Schema:
    """One of these words."""
    return {"type": "string", "enum": list(values)}


def integer(low: int, high: int = MAX_INTEGER) -> Schema:
    """A whole number of at least `low`."""
    return {"type": "integer", "minimum": low, "maximum": high}


def line(most: int) -> Schema:
    """A string of at most so many characters, no control characters among them."""
    characters = r"[^\u0000-\u001f\u007f-\u009f]"
    return {"type": "string", "maxLength": most, "pattern": f"^{characters}{{0,{most}}}$"}


def number(low: float, high: float) -> Schema:
    """A number within bounds."""
    return {"type": "number", "minimum": low, "maximum": high}


def array(items: Schema, *, least: int = 0) -> Schema:
    """An array of at least so many."""
    return {"type": "array", "items": items, "minItems": least}


def any_of(*schemas: Schema) -> Schema:
    """Whatever one of these takes."""
    return {"anyOf": list(schemas)}


def says(schema: Schema, description: str) -> Schema:
    """The schema with a description."""
    return schema | {"description": description}


def body(description: str, required: dict[str, Schema], /, **optional: Schema) -> Schema:
    """An object; optional fields may be null. `extension_x` is the field `kosmosx:x`."""
    fields = {
        name.replace("extension_", "kosmosx:"): _nullable(schema)
        for name, schema in optional.items()
    }
    return {
        "type": "object",
        "description": description,
        "properties": required | fields,
        "required": list(required),
    }


def _nullable(schema: Schema) -> Schema:
    match schema:
        case {"type": "null"}:
            return schema
        case {"type": str(kind), "enum": list(values)}:
            return schema | {"type": [kind, "null"], "enum": [*values, None]}
        case {"type": str(kind)}:
            return schema | {"type": [kind, "null"]}
        case {"anyOf": list(choices)}:
            return schema | {"anyOf": [*choices, {"type": "null"}]}
        case _:
            return any_of(schema, {"type": "null"})


METADATA: Schema = {
    "type": "object",
    "description": "Up to 16 pairs that are kept and given back.",
    "maxProperties": 16,
    "propertyNames": {"maxLength": 64},
    "additionalProperties": {"type": "string", "maxLength": 512},
}
