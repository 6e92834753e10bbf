import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering import keys

PEPPER = b"p" * 32


def counted(size: int) -> bytes:
    return bytes(range(size))


def test_the_form_of_a_key() -> None:
    issued = keys.issue(PEPPER, counted)
    secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    assert issued.token == f"kx_live_0001020304050607_{secret}"
    assert issued.id == keys.parse(issued.token) == "0001020304050607"
    assert issued.hash == keys.mac(issued.token, PEPPER)


def test_keys_differ() -> None:
    assert len({keys.issue(PEPPER).token for _ in range(100)}) == 100


@given(st.binary(min_size=32, max_size=32))
def test_a_key_can_be_parsed_whatever_its_secret(secret: bytes) -> None:
    issued = keys.issue(PEPPER, lambda size: secret[:size])
    assert keys.parse(issued.token) == issued.id


@pytest.mark.parametrize(
    "token",
    [
        "",
        "sk-1234",
        "kx_live_",
        "kx_live_0001020304050607_short",
        f"kx_test_0001020304050607_{'A' * 43}",
        f"kx_live_000102030405060G_{'A' * 43}",
        f"kx_live_0001020304050607_{'A' * 44}",
        f"kx_live_0001020304050607_{'A' * 42}=",
        f"kx_live_0001020304050607_{'A' * 43}\n",
        f" kx_live_0001020304050607_{'A' * 43}",
        f"kx_live_000102030405060\N{ARABIC-INDIC DIGIT SEVEN}_{'A' * 43}",
    ],
)
def test_what_is_no_key_is_refused(token: str) -> None:
    with pytest.raises(keys.InvalidKey):
        keys.parse(token)


@given(st.text())
def test_any_text_is_refused_in_the_same_way(token: str) -> None:
    with pytest.raises(keys.InvalidKey):
        keys.parse(token)


def test_the_mac_depends_on_token_and_pepper() -> None:
    token, other = keys.issue(PEPPER).token, keys.issue(PEPPER).token
    macs = {keys.mac(token, PEPPER), keys.mac(other, PEPPER), keys.mac(token, b"q" * 32)}
    assert len(macs) == 3


def test_only_the_stored_mac_matches() -> None:
    computed = keys.mac("token", PEPPER)
    assert keys.matches(computed, computed)
    assert not keys.matches(computed, keys.mac("other", PEPPER))
    assert not keys.matches(computed, None)
    assert not keys.matches(bytes(32), None)


def test_an_unknown_key_costs_a_comparison_too(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(computed: bytes, stored: bytes) -> bool:
        compared.append((computed, stored))
        return False

    monkeypatch.setattr("hmac.compare_digest", compare)
    keys.matches(b"a" * 32, None)
    keys.matches(b"a" * 32, b"b" * 32)
    assert [len(stored) for _, stored in compared] == [32, 32]


def test_a_short_pepper_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 bytes"):
        keys.issue(b"short")


def test_a_key_does_not_show_its_secret() -> None:
    issued = keys.issue(PEPPER)
    assert issued.token not in repr(issued)
    assert issued.token not in f"{issued}"


@given(st.integers(0, 42))
def test_cve_2025_59425_a_nearly_right_key_looks_like_any_other(position: int) -> None:
    """vLLM compared keys character by character: the time told how many were right.

    What is compared here are MACs, in constant time, and those of two keys that differ in one
    character have nothing in common.
    """
    issued = keys.issue(PEPPER)
    secret = issued.token.split("_", 3)[3]
    other = "A" if secret[position] != "A" else "B"
    guess = issued.token[: -len(secret)] + secret[:position] + other + secret[position + 1 :]
    near, right = keys.mac(guess, PEPPER), issued.hash
    assert sum(one == another for one, another in zip(near, right, strict=True)) < 8
