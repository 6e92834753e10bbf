"""Fitting a conversation into the model's context window. Counts tokens only; knows no text."""

from collections.abc import Sequence
from typing import Literal

Truncation = Literal["auto", "disabled"]


class ContextTooLong(Exception):
    """The prompt does not fit: `needed` tokens, of which `limit` may be used."""

    def __init__(self, needed: int, limit: int) -> None:
        super().__init__(f"the prompt takes {needed} tokens, and {limit} are left for it")
        self.needed = needed
        self.limit = limit


def fit(
    *, opening: int, turns: Sequence[int], new: int, budget: int, truncation: Truncation
) -> int:
    """Which past turns stay: the longest recent run of whole turns that fits.

    Args:
        opening: tokens of what the prompt begins with; it always stays.
        turns: tokens of each past turn, oldest first, its images included.
        new: tokens of the new segment, its images included; it always stays.
        budget: tokens that the prompt may have (window - longest answer).
        truncation: "disabled" drops nothing.

    Returns:
        The index of the first turn that stays; `len(turns)` if none does.

    Raises:
        ContextTooLong: opening and new segment exceed the budget, or truncation is disabled
            and everything together does.
    """
    needed = opening + new
    if truncation == "disabled":
        needed += sum(turns)
    if needed > budget:
        raise ContextTooLong(needed, budget)
    if truncation == "disabled":
        return 0
    first = len(turns)
    while first and needed + turns[first - 1] <= budget:
        first -= 1
        needed += turns[first]
    return first
