"""`text` of a request: whether the answer is words, JSON, or JSON of a schema; and its echo.

Open Responses 2026-04-24: TextParam and TextField.
"""

from typing import Any

import msgspec

from kosmosx_stream.protocol.fields import Fields, unsupported
from kosmosx_stream.protocol.json_schemas import check_schema
from kosmosx_stream.protocol.tools import Place, check_name, here

TEXT_FORMATS = ("text", "json_object", "json_schema")


class PlainFormat(msgspec.Struct, frozen=True, tag="text"):
    """Words."""


class JsonObjectFormat(msgspec.Struct, frozen=True, tag="json_object"):
    """Any JSON object."""


class JsonSchemaFormat(msgspec.Struct, frozen=True, kw_only=True, tag="json_schema"):
    """JSON that a schema describes, strict or not.

    The document has null for the schema's echo (JsonSchemaResponseFormat.schema), so it stands
    beside, in our own field.
    """

    name: str
    description: str | None = None
    strict: bool = False
    echoed_schema: None = msgspec.field(name="schema", default=None)
    schema: dict[str, Any] = msgspec.field(name="kosmosx:schema")


TextFormat = PlainFormat | JsonObjectFormat | JsonSchemaFormat


class TextConfig(msgspec.Struct, frozen=True):
    """How the answer's text has to be."""

    format: TextFormat = PlainFormat()

    @property
    def schema(self) -> dict[str, Any] | None:
        """What the text has to satisfy; None for words."""
        match self.format:
            case PlainFormat():
                return None
            case JsonObjectFormat():
                return {"type": "object"}
            case JsonSchemaFormat(schema=schema):
                return schema


def read_text(fields: Fields) -> TextConfig:
    """`text` of a request.

    Raises:
        InvalidRequest: an unknown format, or one whose schema cannot be used.
    """
    text = fields.object("text")
    if text is None:
        return TextConfig()
    if text.string("verbosity") not in {None, "medium"}:
        raise unsupported("text.verbosity", "only 'medium' is supported")
    text_format = text.object("format")
    return TextConfig(PlainFormat() if text_format is None else read_format(text_format))


def read_format(text_format: Fields, place: Place = here) -> TextFormat:
    """One format; `place` is where its schema is.

    Raises:
        InvalidRequest: as `read_text`.
    """
    text_format.required_string("type")
    match text_format.choice("type", TEXT_FORMATS):
        case "json_object":
            return JsonObjectFormat()
        case "json_schema":
            return _read_json_schema(place(text_format))
        case _:
            return PlainFormat()


def _read_json_schema(text_format: Fields) -> JsonSchemaFormat:
    schema = text_format.required_object("schema")
    check_schema(schema)
    return JsonSchemaFormat(
        name=check_name(text_format.required_string("name"), text_format.param("name")),
        description=text_format.string("description"),
        strict=text_format.boolean("strict") is True,
        schema=schema.value,
    )
