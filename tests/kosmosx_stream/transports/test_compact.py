"""Compaction over the official client, whose output goes back in as it came."""

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.kosmosx_stream.clients import MODEL, client, message, picture_url
from tests.server_process import ServerProcess

SPECIFICATION = Path(__file__).parents[2] / "data" / "open-responses-2026-04-24.openapi.json"


def compacted(server: ServerProcess, **asked: Any) -> tuple[Any, list[dict[str, Any]]]:
    answer = client(server).responses.compact(model=MODEL, **asked)
    # The client has no type for a user's message in an output, and would warn.
    return answer, [item.to_dict(warnings=False) for item in answer.output]


def test_a_conversation_goes_on_from_what_it_was_compacted_to(narrow: ServerProcess) -> None:
    official = client(narrow)
    first = official.responses.create(
        model=MODEL, input=[message("My name is Ada.", picture_url())], max_output_tokens=200
    )
    second = official.responses.create(
        model=MODEL, input="Say more.", previous_response_id=first.id, max_output_tokens=200
    )
    answer, window = compacted(narrow, previous_response_id=second.id, input="And then?")
    assert [item["type"] for item in window] == ["message", "message", "message", "compaction"]
    said = ["".join(part["text"] for part in item["content"]) for item in window[:-1]]
    assert "My name is Ada." in said[0]
    assert said[1:] == ["Say more.", "And then?"]
    assert answer.usage.input_tokens > second.usage.total_tokens
    assert answer.usage.output_tokens == 0

    whole = official.responses.input_tokens.count(
        model=MODEL, input="And now?", previous_response_id=second.id
    )
    follow = [*window, message("And now?")]
    response = official.responses.create(model=MODEL, input=follow, max_output_tokens=16)
    assert response.usage.input_tokens < whole.input_tokens / 2
    again, shorter = compacted(narrow, input=follow)
    assert len(shorter) == len(follow)
    assert again.usage.input_tokens > 0


def test_it_is_what_the_specification_says(narrow: ServerProcess) -> None:
    answer, _ = compacted(narrow, input="Hello!")
    document = Resource(json.loads(SPECIFICATION.read_text()), DRAFT202012)
    registry = Registry().with_resource("urn:spec", document)
    schema = {"$ref": "urn:spec#/components/schemas/CompactResource"}
    Draft202012Validator(schema, registry=registry).validate(answer.to_dict(warnings=False))


def test_what_was_changed_or_is_another_accounts_is_refused(narrow: ServerProcess) -> None:
    _, window = compacted(narrow, input="Hello!")
    changed = [*window[:-1], window[-1] | {"encrypted_content": "AAAA"}]
    stranger = client(narrow, narrow.create_key())
    for official, given in ((client(narrow), changed), (stranger, window)):
        with pytest.raises(openai.BadRequestError) as refused:
            official.responses.create(model=MODEL, input=given)
        assert refused.value.param == "input[1].encrypted_content"
    with pytest.raises(openai.BadRequestError) as refused:
        client(narrow).responses.compact(model=MODEL)
    assert (refused.value.code, refused.value.param) == ("missing_required_parameter", "input")
