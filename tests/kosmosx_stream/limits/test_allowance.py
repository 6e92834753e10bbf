"""What a turn may spend of a budget."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from conversation.entries import Ended, Price, Started
from conversation.items import Grounding
from kosmosx_stream.formats.chat_format import Released
from kosmosx_stream.limits.allowance import (
    allowed,
    least_cost_micro_usd,
    most_cost_micro_usd,
    shortened,
    within_allowance,
)
from kosmosx_stream.turns.session import Publish, Session
from metering.budgets import Standing, grant
from tests.kosmosx_stream.instances import started

prices = st.builds(
    Price,
    version=st.just("v"),
    token_micro_usd=st.integers(0, 300),
    image_micro_usd=st.integers(0, 1000),
    detection_micro_usd=st.integers(0, 50),
    minimum_tokens=st.integers(0, 200),
)


class Boxes:
    """A decoder that draws a box for every id, and another one at the end."""

    def feed(self, token_ids: Sequence[int]) -> Released:
        box = Grounding(phrase="a", start=0, end=1, boxes=((0.0, 0.0, 1.0, 1.0),))
        return Released("", (box,) * len(token_ids))

    def finish(self) -> Released:
        return self.feed([1])


@st.composite
def turns(draw: st.DrawFn) -> Started:
    return replace(
        started(),
        price=draw(prices),
        input_tokens=draw(st.integers(0, 300)),
        max_tokens=draw(st.integers(1, 300)),
        new_images=tuple("i" * draw(st.integers(0, 2))),
        grounding=draw(st.booleans()),
    )


def standing(left: int, *, hard: bool = True) -> Standing:
    return Standing(
        limit_micro_usd=10**6,
        hard=hard,
        locked=False,
        spent_micro_usd=10**6 - left,
        held_micro_usd=0,
    )


@given(turns(), st.integers(0, 10**6))
def test_a_hard_budget_allows_the_tokens_it_can_pay_and_not_one_more(
    turn: Started, more: int
) -> None:
    least, most = least_cost_micro_usd(turn), most_cost_micro_usd(turn)
    held = allowed(turn, grant(standing(least + more), least, most))
    assert 1 <= held.max_tokens <= turn.max_tokens
    assert within_allowance(held, held.max_tokens, 0)
    assert shortened(held) == (held.max_tokens < turn.max_tokens)
    if shortened(held):
        assert not within_allowance(held, held.max_tokens + 1, 0)


def test_boxes_are_weighed_as_they_come() -> None:
    price = replace(started().price, token_micro_usd=0, minimum_tokens=0, detection_micro_usd=1)
    turn = replace(started(), price=price, max_tokens=9, grounding=True)
    held = allowed(turn, grant(standing(3), least_cost_micro_usd(turn), most_cost_micro_usd(turn)))
    session = Session()
    session.say(held, Boxes())
    effects = [effect for _ in range(9) for effect in session.delta("resp", [1], 1.0)]
    entries = [effect.entry for effect in effects if isinstance(effect, Publish)]
    assert sum(len(entry.grounding) for entry in entries) == 3
    assert isinstance(entries[-1], Ended)
    assert entries[-1].reason == "budget"


@given(turns())
def test_with_enough_left_a_turn_is_as_it_was(turn: Started) -> None:
    least, most = least_cost_micro_usd(turn), most_cost_micro_usd(turn)
    held = allowed(turn, grant(standing(most), least, most))
    assert replace(held, allowance=None) == turn
    boxes = turn.max_tokens // 2 if turn.grounding else 0
    assert within_allowance(held, turn.max_tokens, boxes)


@given(turns(), st.integers(-(10**6), 10**6))
def test_a_soft_budget_cuts_nothing(turn: Started, left: int) -> None:
    least, most = least_cost_micro_usd(turn), most_cost_micro_usd(turn)
    held = allowed(turn, grant(standing(left, hard=False), least, most))
    assert replace(held, allowance=None) == turn
    assert within_allowance(held, 10**6, 10**6)
