"""The AsyncAPI document is a valid one, and what the WebSocket says is in it."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from kosmosx_stream.protocol.events import wire_events
from kosmosx_stream.transports.asyncapi import asyncapi
from tests.node import node_modules

JAVASCRIPT = Path(__file__).parents[2] / "javascript"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return json.loads(json.dumps(asyncapi()))


def test_it_is_valid(document: dict[str, Any]) -> None:
    """By AsyncAPI's own schema, which comes as an npm package."""
    schemas = node_modules(JAVASCRIPT) / "@asyncapi" / "specs" / "schemas"
    schema = json.loads((schemas / "3.0.0-without-$id.json").read_text())
    jsonschema.Draft7Validator(schema).validate(document)


def test_every_event_is_in_it(document: dict[str, Any]) -> None:
    names = {message["name"] for message in document["components"]["messages"].values()}
    assert {str(event.__struct_config__.tag) for event in wire_events()} < names
    assert {"error", "kosmosx:session.closed", "response.create"} < names


def test_its_schemas_mean_the_same_in_draft_07(document: dict[str, Any]) -> None:
    """AsyncAPI reads schemas by that draft, OpenAPI 3.1 by 2020-12."""
    schemas = json.dumps(document["components"])
    for newer in ("prefixItems", "$defs", "dependentRequired", "unevaluated", "discriminator"):
        assert newer not in schemas
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft7Validator.check_schema(schema)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    for ref in {part.split('"')[0] for part in text.split('"$ref": "#/')[1:]}:
        found: Any = document
        for step in ref.split("/"):
            found = found[step]
