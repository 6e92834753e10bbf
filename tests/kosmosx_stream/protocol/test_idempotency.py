"""Which requests are the same, and what is a key."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kosmosx_stream.protocol.errors import InvalidRequest, Unprocessable
from kosmosx_stream.protocol.idempotency import MAX_LENGTH, check_repeated, reservation

KEYS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=MAX_LENGTH)
BODIES = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=5)
POST = "POST /v1/responses"


def packed(body: dict) -> bytes:
    return json.dumps(body).encode("utf-8", "surrogatepass")


@given(KEYS, BODIES.filter(lambda body: "\ud800" not in str(body)), st.randoms())
def test_the_order_of_fields_does_not_count(key, body, random):
    shuffled = list(body.items())
    random.shuffle(shuffled)
    first = reservation("acct", key, POST, packed(body))
    again = reservation("acct", key, POST, json.dumps(dict(shuffled), indent=1).encode())
    assert first is not None
    assert first == again
    check_repeated(first, again.fingerprint)


@given(st.tuples(st.sampled_from("ab"), KEYS), st.tuples(st.sampled_from("ab"), KEYS))
def test_accounts_and_keys_do_not_meet(one, other):
    names = {reservation(*each, POST, b"{}").name for each in (one, other)}
    assert len(names) == len({one, other})


@given(BODIES, BODIES, st.sampled_from([POST, "POST /v1/chat/completions"]))
def test_another_request_is_told_apart(body, other, operation):
    first = reservation("acct", "key", POST, packed(body))
    second = reservation("acct", "key", operation, packed(other))
    assert first.name == second.name
    if (operation, body) == (POST, other):
        check_repeated(second, first.fingerprint)
        return
    with pytest.raises(Unprocessable) as refused:
        check_repeated(second, first.fingerprint)
    assert (refused.value.code, refused.value.param) == (
        "idempotency_key_reused",
        "Idempotency-Key",
    )


def test_without_a_key_nothing_is_reserved():
    assert reservation("acct", None, POST, b"{}") is None


@pytest.mark.parametrize("key", ["", "x" * (MAX_LENGTH + 1), "tab\there", "naïve", "\x7f"])
def test_what_is_no_key(key):
    with pytest.raises(InvalidRequest) as refused:
        reservation("acct", key, POST, b"{}")
    assert refused.value.param == "Idempotency-Key"
