"""What counts as a right answer of nano, and what its training leaves open."""

import numpy as np
import pytest

from kosmosx_stream.kosmosx.nano.answers import Moment
from kosmosx_stream.kosmosx.nano.dialogues import plain
from kosmosx_stream.kosmosx.nano.relations import ask
from kosmosx_stream.kosmosx.nano.sampling import sample_scene
from kosmosx_stream.kosmosx.nano.scenes import told_loosely
from kosmosx_stream.kosmosx.nano.scoring import agrees, verdict


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("so above the star: a red circle and a blue square.", True),
        ("so above the star: a blue square and a red circle.", True),
        ("so above the star: a blue square.", False),
        ("so above the star: a blue square, a red circle and a red circle.", False),
        ("so above the star: a blue square and a red oval.", False),
        ("so below the star: a red circle and a blue square.", False),
        ("a red circle and a blue square.", False),
    ],
)
def test_shapes_may_be_named_in_any_order_but_no_other(text, right):
    wanted = "so above the star: a red circle and a blue square."
    assert agrees(f"I see a red circle, a star and a blue square, {text}", wanted) is right


@pytest.mark.parametrize(
    ("text", "wanted", "right"),
    [
        ("I see a red circle #1 and a blue star: one.", "one.", True),
        ("I see a red circle and a blue star #1: two.", "one.", False),
        ("I see a star, so left of the star: nothing.", "so left of the star: nothing.", True),
        ("I see a star. #1 is higher: the star.", "#1 is higher: the red star.", False),
    ],
)
def test_other_verdicts_count_word_for_word(text, wanted, right):
    assert agrees(text, wanted) is right


@pytest.mark.parametrize("seed", range(40))
def test_the_true_answer_agrees_with_itself(seed):
    rng = np.random.default_rng(seed)
    scene = told_loosely(sample_scene(rng, seed % 9, hard=True), rng)
    answer = ask(Moment(scene, rng, grounded=seed % 2 == 0), None).answer
    assert agrees(plain(answer), verdict(answer))
