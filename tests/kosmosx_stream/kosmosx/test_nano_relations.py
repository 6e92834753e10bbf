"""The evidence that nano gives for what lies beside a shape."""

import re

import numpy as np
import pytest

from kosmosx_stream.kosmosx.nano.answers import Moment
from kosmosx_stream.kosmosx.nano.dialogues import plain
from kosmosx_stream.kosmosx.nano.relations import beside
from kosmosx_stream.kosmosx.nano.sampling import sample_scene

NUMBERED = re.compile(r"\b(an? \w+ \w+)(?: (?:at|on|in) the [a-z]+(?: left| right)?)? (#\d)")


@pytest.mark.parametrize("grounded", [True, False])
@pytest.mark.parametrize("side", ["left of", "right of", "above", "below", ", but no"])
def test_what_lies_beside_a_shape_is_numbered_and_told_again(side, grounded):
    rng = np.random.default_rng(2)
    moments = (Moment(sample_scene(rng, 5), rng, grounded) for _ in range(400))
    answers = (plain(asked.answer) for at in moments if (asked := beside(at)))
    answer = next(text for text in answers if side in text.rpartition("so ")[2] and "#2" in text)
    first = "I see from left to right" if side.endswith("t of") else "I see from top to bottom"
    assert answer.startswith(first) or side == ", but no"
    seen, _, told = answer.rpartition(" so ")
    if side == ", but no":
        assert [number for _, number in NUMBERED.findall(answer)] == ["#1", "#2", "#3", "#4", "#5"]
        return
    numbered = NUMBERED.findall(seen)
    assert told.partition(": ")[2] == ", ".join(f"{name} {n}" for name, n in numbered) + "."
    here = re.search(r"\bhere\b", seen)
    assert here is not None
    places = [match.start() for match in NUMBERED.finditer(seen)]
    before = side in ("left of", "above")
    assert all((place < here.start()) == before for place in places)
