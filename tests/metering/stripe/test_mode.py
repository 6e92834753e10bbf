"""Keys say which mode they are for."""

import pytest

from metering.stripe.mode import Mode, WrongMode, check_mode


@pytest.mark.parametrize(
    ("key", "mode"),
    [("sk_test_1", "test"), ("rk_test_1", "test"), ("sk_live_1", "live"), ("rk_live_1", "live")],
)
def test_a_key_of_the_mode_is_taken(key: str, mode: Mode) -> None:
    check_mode(key, mode)


@pytest.mark.parametrize(("key", "mode"), [("sk_test_1", "live"), ("rk_live_1", "test")])
def test_a_key_of_the_other_mode_is_refused(key: str, mode: Mode) -> None:
    with pytest.raises(WrongMode, match=f"expected a key for {mode} mode"):
        check_mode(key, mode)


@pytest.mark.parametrize("key", ["", "sk_1", "pk_test_1", "whsec_1", "sk-proj-1", "test_sk_1"])
def test_what_is_no_secret_key_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(WrongMode, match="expected a secret key of Stripe's") as refused:
        check_mode(key, "test")
    assert not key or key not in str(refused.value)
