"""What is allowed with a client secret."""

from typing import Any

import pytest
from msgspec.structs import replace

from kosmosx_stream.access.grant import Grant
from kosmosx_stream.protocol.errors import PermissionDenied
from kosmosx_stream.protocol.requests import CreateResponse
from tests.conversation.samples import turn

GRANT = Grant(
    account_id="acct", key_id="key", session_id="sess_1", origin="https://a", expires_at=1.0
)


def limited(most: int | None, **request: Any) -> CreateResponse:
    grant = replace(GRANT, conversation_id="conv_1", max_output_tokens=most)
    return grant.limit(CreateResponse(model="m", messages=(), **request))


@pytest.mark.parametrize(
    ("most", "wanted", "granted"),
    [(None, None, None), (None, 50, 50), (100, None, 100), (100, 50, 50), (100, 200, 100)],
)
def test_an_answer_is_as_long_as_both_allow(
    most: int | None, wanted: int | None, granted: int | None
) -> None:
    assert limited(most, max_output_tokens=wanted).max_output_tokens == granted


def test_one_conversation_may_be_named() -> None:
    for named in (None, "conv_1"):
        assert limited(100, conversation=named).conversation == named
    with pytest.raises(PermissionDenied) as refused:
        limited(100, conversation="conv_2")
    assert refused.value.code == "conversation_not_allowed"
    with pytest.raises(PermissionDenied):
        GRANT.limit(CreateResponse(model="m", messages=(), conversation="conv_1"))


def test_one_session_is_joined() -> None:
    assert GRANT.session(None) == GRANT.session("sess_1") == "sess_1"
    with pytest.raises(PermissionDenied) as refused:
        GRANT.session("sess_2")
    assert refused.value.code == "session_not_allowed"


def test_only_the_session_s_responses_are_continued() -> None:
    ours, other = (replace(turn("resp"), session_id=name) for name in ("sess_1", "sess_2"))
    assert GRANT.continues([other, ours])
    assert not GRANT.continues([ours, other])
    assert not GRANT.continues([])
