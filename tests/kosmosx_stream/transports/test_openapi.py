"""The OpenAPI document is a valid one, and says all that the routes and errors do."""

import json
from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from kosmosx_stream.protocol.body_schemas import BODIES
from kosmosx_stream.protocol.errors import ApiError
from kosmosx_stream.transports.openapi import openapi, summary
from kosmosx_stream.transports.routes import endpoints
from tests.server_process import ServerProcess


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return json.loads(json.dumps(openapi(endpoints())))


def test_it_is_valid(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()


def test_every_operation_is_in_it_and_described(document: dict[str, Any]) -> None:
    names = []
    for endpoint in endpoints():
        described = document["paths"][endpoint.path][endpoint.method.lower()]
        assert described["summary"]
        assert not described["summary"].startswith("`")
        names.append(described["operationId"])
    assert len(set(names)) == len(names)


def test_every_schema_is_used(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    for name in document["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in text, name
    assert set(BODIES) <= set(document["components"]["schemas"])


def test_every_refusal_is_in_the_one_shape(document: dict[str, Any]) -> None:
    statuses = {error.status for error in ApiError.__subclasses__()}
    for methods in document["paths"].values():
        for described in methods.values():
            assert {"200", "401", "500", "503"} <= set(described["responses"])
            refusals = set(map(int, described["responses"])) - {200, 204}
            assert refusals <= statuses | {error.status for error in all_errors()}
    for refusal in document["components"]["responses"].values():
        assert refusal["content"]["application/json"]["schema"] == {
            "$ref": "#/components/schemas/HttpError"
        }


def all_errors() -> list[type[ApiError]]:
    below = list(ApiError.__subclasses__())
    for error in below:
        below += error.__subclasses__()
    return below


def test_what_is_always_sent_is_required(document: dict[str, Any]) -> None:
    schema = document["components"]["schemas"]["ResponseObject"]
    unset = {"kosmosx:reason", "kosmosx:context", "kosmosx:budget"}
    assert set(schema["required"]) == set(schema["properties"]) - unset


def test_summaries_come_from_docstrings() -> None:
    def documented() -> None:
        """`GET /v1/x/{id}`: what there
        is.

        And more.
        """

    assert summary(documented) == "What there is."


@pytest.mark.parametrize("path", ["/openapi.json", "/asyncapi.json"])
def test_the_server_shows_it_to_everyone(
    server: ServerProcess, path: str, document: dict[str, Any]
) -> None:
    answer = httpx.get(server.base_url + path)
    assert answer.headers["content-type"] == "application/json"
    if path == "/openapi.json":
        assert answer.json() == document
    else:
        assert answer.json()["asyncapi"] == "3.0.0"
