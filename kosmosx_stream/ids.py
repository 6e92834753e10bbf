"""Ids: a prefix that says of what, and 24 random bytes that nobody guesses.

Items of a response have its bytes, so that an item is found by its id: `msg_X` and `fc_X_0` are in
the answer of `resp_X`, `msg_X_i0` in its input.
"""

import secrets
from typing import Literal

Prefix = Literal[
    "resp", "msg", "fc", "fco", "conv", "turn", "rev", "sess", "acct", "inst", "steer", "cmp"
]  # fmt: skip


def new_id(prefix: Prefix) -> str:
    """A fresh id, e.g. `resp_5f0c…`."""
    return f"{prefix}_{secrets.token_hex(24)}"


def answer_id(response_id: str) -> str:
    """The id of a response's message."""
    return f"msg_{_stem(response_id)}"


def input_item_id(prefix: Prefix, response_id: str, index: int) -> str:
    """The id of an item of a response's input."""
    return f"{prefix}_{_stem(response_id)}_i{index}"


def response_of(item_id: str) -> str:
    """The response that an item with this id is of, if it is of one."""
    return f"resp_{_stem(item_id)}"


def _stem(any_id: str) -> str:
    return "".join(any_id.split("_")[1:2])
