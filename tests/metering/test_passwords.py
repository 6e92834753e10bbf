"""Emails are compared in one spelling; passwords are hard to guess, and kept so."""

import pytest

from metering.passwords import (
    InvalidEmail,
    PasswordHasher,
    WeakPassword,
    check_strength,
    normalize_email,
)

GOOD = "violet ostrich tango"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("ada@example.com", "ada@example.com"),
        (" Ada.Lovelace@Example.COM\n", "ada.lovelace@example.com"),
        ("ada+chat@example.com", "ada+chat@example.com"),
        ("a\u0308da@example.com", "äda@example.com"),
        ("ada@xn--exmple-cua.com", "ada@exämple.com"),
    ],
)
def test_an_email_has_one_spelling(given: str, kept: str) -> None:
    assert normalize_email(given) == kept == normalize_email(kept)


@pytest.mark.parametrize(
    "given", ["", "ada", "ada@", "@example.com", "a b@example.com", "ada@example..com", "a@b@c.de"]
)
def test_what_is_no_email(given: str) -> None:
    with pytest.raises(InvalidEmail):
        normalize_email(given)


@pytest.mark.parametrize("password", [GOOD, "kF9$wq7!zLp2", "größenwahnsinniger Käse" * 5])
def test_a_good_password(password: str) -> None:
    check_strength(password, "ada@example.com")


@pytest.mark.parametrize(
    "password",
    ["short", "password123", "1234567890", "qwertyuiop", "aaaaaaaaaaaa", "ada@example.com",
     "adaexample", "kosmosx2026", "P@ssw0rd1234"],
)  # fmt: skip
def test_a_weak_password_is_told_why(password: str) -> None:
    with pytest.raises(WeakPassword, match=r"guess|characters"):
        check_strength(password, "ada@example.com")


def test_a_hash_fits_its_password_only() -> None:
    hasher = PasswordHasher()
    kept = hasher.hash(GOOD)
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert kept != hasher.hash(GOOD)
    assert hasher.matches(GOOD, kept)
    assert not hasher.matches(GOOD + " ", kept)
    assert not hasher.matches("the password of nobody", None)
    assert not hasher.outdated(kept)
    assert hasher.outdated(kept.replace("t=3", "t=2"))
