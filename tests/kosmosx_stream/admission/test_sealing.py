import pytest
from hypothesis import given
from hypothesis import strategies as st

from kosmosx_stream.admission.sealing import BrokenSeal, Seal

SEAL = Seal(b"secret")
TEXTS = st.text(st.characters(codec="utf-8"))


@given(TEXTS, TEXTS)
def test_what_was_sealed_is_opened(account_id: str, text: str) -> None:
    assert SEAL.open(account_id, SEAL.close(account_id, text)) == text


@given(TEXTS, st.integers(0, 10**6), st.characters(codec="ascii"))
def test_what_was_changed_is_not(text: str, at: int, other: str) -> None:
    sealed = SEAL.close("acct", text)
    at %= len(sealed)
    changed = sealed[:at] + other + sealed[at + 1 :]
    if changed == sealed:
        return
    with pytest.raises(BrokenSeal):
        SEAL.open("acct", changed)


@given(st.text())
def test_what_was_never_sealed_is_not(sealed: str) -> None:
    with pytest.raises(BrokenSeal):
        SEAL.open("acct", sealed)


def test_a_seal_is_good_for_one_account_and_one_server() -> None:
    sealed = SEAL.close("acct", "text")
    for seal, account_id in ((SEAL, "other"), (Seal(b"other"), "acct")):
        with pytest.raises(BrokenSeal):
            seal.open(account_id, sealed)
