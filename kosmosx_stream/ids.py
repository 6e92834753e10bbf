"""Ids: a prefix that says of what, and 24 random bytes that nobody guesses."""

import secrets
from typing import Literal

Prefix = Literal[
    "resp", "msg", "fc", "fco", "conv", "turn", "rev", "sess", "acct", "inst", "steer", "cmp"
]  # fmt: skip


def new_id(prefix: Prefix) -> str:
    """A fresh id, e.g. `resp_5f0c…`."""
    return f"{prefix}_{secrets.token_hex(24)}"
