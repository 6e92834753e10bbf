import ast
import json
import re
from pathlib import Path

import pytest
from openai.types.responses import ResponseErrorEvent
from openai.types.responses.responses_server_event import ResponseWsError

from kosmosx_stream.protocol import errors
from kosmosx_stream.protocol.errors import (
    InvalidRequest,
    encode_http,
    encode_sse,
    encode_websocket,
)

ERROR = InvalidRequest("bad 'x'", code="invalid_type", param="x")


def test_table() -> None:
    rows = re.findall(r"^\| (\w+) +\| (\d+)  \| (\w+) +\|$", errors.__doc__, re.MULTILINE)
    unlisted = {errors.ApiError, errors._Refusal, errors.HandedOver}
    listed = {kind for kind in vars(errors).values() if is_refusal(kind)} - unlisted
    assert sorted(rows) == sorted((kind.__name__, str(kind.status), kind.type) for kind in listed)


def test_to_catch_one_is_to_catch_just_that_one() -> None:
    for kind in (*errors._Refusal.__subclasses__(), errors.ServerError):
        assert kind.__subclasses__() == []


def test_http() -> None:
    assert json.loads(encode_http(ERROR)) == {
        "error": {
            "message": "bad 'x'",
            "type": "invalid_request_error",
            "param": "x",
            "code": "invalid_type",
        }
    }


@pytest.mark.parametrize("param", ["x", None])
@pytest.mark.parametrize("stream_id", [None, "lane"])
def test_websocket(validate, param, stream_id) -> None:
    error = errors.NotFound("gone", code="previous_response_not_found", param=param)
    data = json.loads(encode_websocket(error, stream_id=stream_id))
    validate("WebSocketErrorEvent", data)
    parsed = ResponseWsError.model_validate(data)
    assert (parsed.status, parsed.stream_id) == (404, stream_id)
    assert parsed.error.code == "previous_response_not_found"


def test_websocket_answers_in_the_lane_of_the_command() -> None:
    error = InvalidRequest("no", code="c")
    error.stream_id = "a"
    assert json.loads(encode_websocket(error))["stream_id"] == "a"
    assert json.loads(encode_websocket(error, stream_id="b"))["stream_id"] == "b"


def test_sse_is_flat_so_that_clients_can_parse_it() -> None:
    name, data, *rest = encode_sse(ERROR, 4).split(b"\n")
    assert (name, rest) == (b"event: error", [b"", b""])
    parsed = ResponseErrorEvent.model_validate_json(data.removeprefix(b"data: "))
    assert (parsed.sequence_number, parsed.code, parsed.param) == (4, "invalid_type", "x")
    assert parsed.message == "bad 'x'"


def test_every_code_is_in_the_table() -> None:
    """A client's author finds what may come in one place."""
    package = Path(errors.__file__).parents[1]
    kinds = {name for name, kind in vars(errors).items() if is_refusal(kind)}
    codes = set()
    for source in package.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Call) and called(node) in kinds:
                given = [each.value for each in node.keywords if each.arg == "code"]
                codes |= {each.value for each in given if isinstance(each, ast.Constant)}
    assert len(codes) > 40
    assert errors.__doc__ is not None
    assert codes - set(errors.__doc__.split()) == set()


def is_refusal(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, errors.ApiError)


def called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""
