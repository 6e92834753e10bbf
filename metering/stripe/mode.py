"""Test or live: which of the two a key of Stripe's is for."""

from typing import Literal

Mode = Literal["test", "live"]


class WrongMode(ValueError):
    """Something of test mode where live mode was expected, or the other way round."""


def check_mode(key: str, mode: Mode) -> None:
    """See that a secret key is one of this mode; `sk_test_…` and `rk_live_…` say which they are.

    Raises:
        WrongMode: it is of the other mode, or no secret key.
    """
    form, _, rest = key.partition("_")
    found = rest.partition("_")[0]
    if form not in {"sk", "rk"} or found not in {"test", "live"}:
        raise WrongMode("expected a secret key of Stripe's: sk_test_..., sk_live_... or rk_...")
    if found != mode:
        raise WrongMode(f"expected a key for {mode} mode, got one for {found} mode")
