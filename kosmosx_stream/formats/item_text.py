"""Items and functions as text in a prompt; calls and outputs in the convention of Hermes. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from conversation.items import FunctionCall, FunctionCallOutput, Image, Item, parts
from kosmosx_stream.formats.call_reader import said_call


class Function(msgspec.Struct, frozen=True):
    """What a model may call; `parameters` is a JSON Schema."""

    name: str
    description: str | None
    parameters: Mapping[str, Any]


def item_text(items: Iterable[Item]) -> str:
    """All text of the items, a line for each part; pictures have none."""
    return "\n".join(line for item in items for line in _lines(item))


def functions_text(functions: Iterable[Function]) -> str:
    """What a model is told of its functions, before all else; empty without any."""
    described = [
        {"name": each.name}
        | ({"description": each.description} if each.description else {})
        | {"parameters": each.parameters}
        for each in functions
    ]
    if not described:
        return ""
    form = said_call("...", "{...}")
    return f"Functions: {json.dumps(described, separators=(',', ':'))}\nTo call one: {form}"


def _lines(item: Item) -> Iterator[str]:
    if isinstance(item, FunctionCall):
        yield said_call(item.name, item.arguments)
        return
    lines = (part.text for part in parts(item) if not isinstance(part, Image))
    if isinstance(item, FunctionCallOutput):
        yield f"<tool_response>{' '.join(lines)}</tool_response>"
    else:
        yield from lines
