"""The window keeps the longest recent run of whole turns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation.window import ContextTooLong, fit

TOKENS = st.integers(0, 50)


@given(opening=TOKENS, turns=st.lists(TOKENS, max_size=8), new=TOKENS, budget=st.integers(0, 200))
def test_auto_keeps_the_longest_suffix_that_fits(
    opening: int, turns: list[int], new: int, budget: int
) -> None:
    fitting = [
        first for first in range(len(turns) + 1) if opening + sum(turns[first:]) + new <= budget
    ]
    if fitting:
        found = fit(opening=opening, turns=turns, new=new, budget=budget, truncation="auto")
        assert found == min(fitting)
    else:
        with pytest.raises(ContextTooLong) as refusal:
            fit(opening=opening, turns=turns, new=new, budget=budget, truncation="auto")
        assert (refusal.value.needed, refusal.value.limit) == (opening + new, budget)


@given(opening=TOKENS, turns=st.lists(TOKENS, max_size=8), new=TOKENS, budget=st.integers(0, 200))
def test_disabled_keeps_all_or_refuses(
    opening: int, turns: list[int], new: int, budget: int
) -> None:
    needed = opening + sum(turns) + new
    if needed <= budget:
        assert fit(opening=opening, turns=turns, new=new, budget=budget, truncation="disabled") == 0
    else:
        with pytest.raises(ContextTooLong) as refusal:
            fit(opening=opening, turns=turns, new=new, budget=budget, truncation="disabled")
        assert (refusal.value.needed, refusal.value.limit) == (needed, budget)


def test_a_small_old_turn_does_not_slip_past_a_large_one() -> None:
    assert fit(opening=1, turns=[1, 90, 5], new=4, budget=20, truncation="auto") == 2
