"""What the protocol's tests share: the specification as a judge, and logs to project."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from conversation.entries import Price, Sampling, Started

SPECIFICATION = Path(__file__).parents[2] / "data" / "open-responses-2026-04-24.openapi.json"

Validate = Callable[[str, Any], None]


@pytest.fixture(scope="session")
def validate() -> Validate:
    """Check an instance against a named schema of the specification (OpenAPI 3.1)."""
    document = json.loads(SPECIFICATION.read_text())
    uri = "urn:open-responses"
    registry = Registry().with_resource(uri, Resource(document, DRAFT202012))
    validators: dict[str, Draft202012Validator] = {}

    def check(schema: str, instance: Any) -> None:
        if schema not in validators:
            assert schema in document["components"]["schemas"]
            ref = {"$ref": f"{uri}#/components/schemas/{schema}"}
            validators[schema] = Draft202012Validator(ref, registry=registry)
        validators[schema].validate(instance)

    return check


@pytest.fixture(scope="session")
def price() -> Price:
    return Price(
        version="2026-11",
        token_micro_usd=200,
        image_micro_usd=10_000,
        detection_micro_usd=5,
        minimum_tokens=100,
    )


MakeStarted = Callable[..., Started]


@pytest.fixture(scope="session")
def make_started(price: Price) -> MakeStarted:
    """A first entry; keywords change it."""

    def make(**changes: Any) -> Started:
        fields: dict[str, Any] = {
            "response_id": "resp_1",
            "account_id": "acct_1",
            "session_id": "sess_1",
            "created_at": 1_700_000_000.75,
            "model": "kosmos-x",
            "request": b"",
            "price": price,
            "sampling": Sampling(),
            "max_tokens": 64,
            "input_tokens": 70,
            "prompt_ids": (1, 2),
            "turn_ids": (2,),
            "image_ids": ("i1",),
            "new_images": ("i1",),
            "input": (),
            "output_item_id": "msg_1",
        }
        return Started(**(fields | changes))

    return make
