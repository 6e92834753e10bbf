"""What a client secret may be asked to be, and what is refused by the name of its field."""

import json
from typing import Any

import pytest

from kosmosx_stream.protocol.client_secrets import CreateClientSecret, decode_client_secret
from kosmosx_stream.protocol.errors import InvalidRequest

ORIGIN = "https://app.example.com"


def decode(**body: Any) -> CreateClientSecret:
    return decode_client_secret(json.dumps({"origin": ORIGIN} | body))


def test_defaults() -> None:
    nothing = {"expires_after": None, "session": None, "conversation": None}
    for body in ({}, {"expires_after": {}, "session": {}}, nothing):
        assert decode(**body) == CreateClientSecret(origin=ORIGIN, life_s=60)


def test_every_field() -> None:
    assert decode(
        origin="http://[::1]:8080",
        expires_after={"anchor": "created_at", "seconds": 600},
        session={"id": "sess_1", "metadata": {"a": "b"}},
        conversation="conv_1",
        max_output_tokens=16,
    ) == CreateClientSecret(
        origin="http://[::1]:8080",
        life_s=600,
        session_id="sess_1",
        metadata={"a": "b"},
        conversation="conv_1",
        max_output_tokens=16,
    )


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"origin": None}, "missing_required_parameter", "origin"),
        *(
            ({"origin": origin}, "invalid_value", "origin")
            for origin in ("", "*", "null", "app.example.com", ORIGIN + "/", "https://A.example")
        ),
        ({"expires_after": 60}, "invalid_type", "expires_after"),
        ({"expires_after": {"seconds": 9}}, "integer_below_min_value", "expires_after.seconds"),
        ({"expires_after": {"seconds": 601}}, "integer_above_max_value", "expires_after.seconds"),
        ({"expires_after": {"anchor": "x"}}, "invalid_value", "expires_after.anchor"),
        ({"session": "sess_1"}, "invalid_type", "session"),
        ({"session": {"metadata": {"a": 1}}}, "invalid_type", "session.metadata.a"),
        ({"max_output_tokens": 15}, "integer_below_min_value", "max_output_tokens"),
        ({"kosmosx:x": 1}, "unknown_parameter", "kosmosx:x"),
    ],
)
def test_faults(body: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode(**body)
    assert (refused.value.code, refused.value.param) == (code, param)
