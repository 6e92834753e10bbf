"""The scenes that nano learns from and is measured on: what is drawn, and how it is told."""

from dataclasses import replace
from itertools import islice, pairwise

import numpy as np
import pytest

from kosmosx_stream.kosmosx.nano.drawing import draw, seen
from kosmosx_stream.kosmosx.nano.sampling import sample_scene
from kosmosx_stream.kosmosx.nano.scenes import LEAN, Background, Scene, told_loosely


def test_a_scene_always_draws_the_same_pixels():
    one, other = (sample_scene(np.random.default_rng(3), 4) for _ in range(2))
    assert one == other
    assert np.array_equal(seen(one, 300), seen(other, 300))
    assert draw(one, 448, smooth=True).size == (448, 448)


@pytest.mark.parametrize("seed", range(20))
def test_shapes_lie_where_their_boxes_say(seed):
    scene = sample_scene(np.random.default_rng(seed), 1)
    shape = replace(scene.shapes[0], border=None, finish="flat")
    background = Background("plain", ((shape.rgb[0], 255 - shape.rgb[1], 99),))
    picture = draw(replace(scene, shapes=(shape,), background=background), 640)
    rows, columns = np.nonzero((np.asarray(picture) == shape.rgb).all(-1))
    left, top, right, bottom = (round(value * 640) for value in shape.box)
    assert abs(columns.min() - left) <= 2
    assert abs(columns.max() - right) <= 2
    assert abs(rows.min() - top) <= 2
    assert abs(rows.max() - bottom) <= 2


@pytest.mark.parametrize("hard", [False, True])
def test_a_border_makes_no_shape_smaller_than_its_box(hard):
    rng = np.random.default_rng(0)
    scenes = iter(lambda: sample_scene(rng, 2, hard=hard), None)
    bordered = (s for s in scenes if s.shapes[0].border and s.background.style == "plain")
    for scene in islice(bordered, 40):
        shape = replace(scene.shapes[0], finish="flat")
        picture = np.asarray(draw(replace(scene, shapes=(shape,), order=()), 640)).astype(int)
        rows, columns = np.nonzero((picture != scene.background.colours[0]).any(-1))
        shown = columns.min(), rows.min(), columns.max(), rows.max()
        assert np.abs(np.array(shown) - np.array(shape.box) * 640).max() <= 2
        assert np.abs(np.array(shape.border) - scene.background.colours[0]).max() > 20


def test_hard_scenes_hold_thin_lines_and_more_shapes_that_lie_level():
    def scenes(*, hard: bool) -> list[Scene]:
        rng = np.random.default_rng(0)
        return [sample_scene(rng, 6, hard=hard) for _ in range(60)]

    def level(scenes: list[Scene]) -> int:
        pairs = [pair for scene in scenes for pair in pairwise(scene.shapes)]
        return sum(other.centre[0] - one.centre[0] < LEAN for one, other in pairs)

    hard = scenes(hard=True)
    lined = [s for s in hard if all(x.finish == "hollow" for x in s.shapes)]
    assert any(s.background.colours == ((255, 255, 255),) for s in lined)
    hollow = [shape for scene in hard for shape in scene.shapes if shape.finish == "hollow"]
    assert {shape.line < 0.02 for shape in hollow} == {True, False}
    assert level(hard) > 1.2 * level(scenes(hard=False))


@pytest.mark.parametrize("seed", range(10))
def test_a_scene_told_loosely_is_the_same_picture(seed):
    rng = np.random.default_rng(seed)
    scene = sample_scene(rng, 8, hard=True)
    loose = told_loosely(scene, rng)
    assert np.array_equal(seen(scene, 192, smooth=False), seen(loose, 192, smooth=False))
    places = [shape.centre[0] for shape in loose.shapes]
    assert all(later > sooner - 2 * LEAN for sooner, later in pairwise(places))
