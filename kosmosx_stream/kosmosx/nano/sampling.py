"""Random scenes: which shapes, where, and how they are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kosmosx_stream.kosmosx.nano.backgrounds import clipped, distance, sample_background, sample_rgb
from kosmosx_stream.kosmosx.nano.outlines import outline
from kosmosx_stream.kosmosx.nano.scenes import COLOURS, KINDS, LEAN, Background, Rgb, Scene, Shape

FINISHES = ("flat", "hollow", "dashed", "shaded", "shadow")
_FINISH_SHARES = (0.0, 0.35, 0.15, 0.25, 0.25)
_FINISH_SHARES_HARD = (0.0, 0.5, 0.1, 0.25, 0.15)
_LINES = (0.012, 0.045)  # widths of hard scenes' hollow shapes, thinnest and thickest
_BORDER_CONTRAST = 75.0  # the least distance of a border's tone from the background
_APART, _CLOSE = (0.5, 0.3, 0.2), (0.15, 0.3, 0.55)  # shares of the overlaps 0, 0.1 and 0.2
_CONFUSED = ("circle", "hexagon", "circle", "hexagon", "oval", "rectangle", "cross", "diamond")


@dataclass(frozen=True, slots=True)
class Manner:
    """What the shapes of one scene have in common."""

    hard: bool
    lined: bool  # nothing but thin lines
    palette: tuple[str, ...]
    overlap: float  # the most that two may share, of the smaller one's box
    border: Rgb | None
    finish: str
    mixed: bool  # half of them are flat in spite of it
    line: float

    def contrast(self, style: str) -> int:
        """The least distance of a shape's tone from a background of this style."""
        if self.hard:
            return 75 if style == "photo" else 110
        return 110 if style == "plain" else 150


def _sample_manner(
    background: Background, rng: np.random.Generator, *, hard: bool, lined: bool
) -> Manner:
    palette = tuple(COLOURS)
    if rng.random() < (0.5 if hard else 0.25):  # few colours: the same one more than once
        few = int(rng.integers(1, 4)) if hard else 2
        palette = tuple(rng.choice(palette, few, replace=False))
    overlap = float(rng.choice([0.0, 0.1, 0.2], p=_CLOSE if hard else _APART))
    border = clipped(rng.choice([0.0, 40.0, 128.0, 255.0], 1).repeat(3))
    # A border like what is behind it would only make the shape smaller than its box.
    shows = min(distance(border, tone) for tone in background.colours) > _BORDER_CONTRAST
    bordered = bool(rng.random() < 0.12)
    finished = rng.random() < (0.5 if hard else 0.3)
    shares = _FINISH_SHARES_HARD if hard else _FINISH_SHARES
    finish = str(rng.choice(FINISHES, p=shares)) if finished else "flat"
    return Manner(
        hard=hard,
        lined=lined,
        palette=palette,
        overlap=overlap,
        border=border if shows and (bordered or (finish == "dashed" and not lined)) else None,
        finish="hollow" if lined else finish,
        mixed=bool(rng.random() < 0.3) and not lined,
        line=float(rng.uniform(*_LINES)) if hard else 0.0,
    )


def _overlap(one: Shape, other: Shape) -> float:
    """Shared area of two boxes, as a share of the smaller box."""
    a, b = one.box, other.box
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min(one.area, other.area)


def _sample_size(count: int, rng: np.random.Generator) -> float:
    """A shape's width: wide shapes only where there is room."""
    if count <= 2 and rng.random() < 0.2:
        return float(rng.uniform(0.4, 0.8))
    if count > 5:
        return float(rng.uniform(0.13, 0.28))
    return float(rng.uniform(0.15, {1: 0.5, 2: 0.45, 3: 0.4}.get(count, 0.34)))


def _sample_shape(
    background: Background,
    count: int,
    manner: Manner,
    rng: np.random.Generator,
    level: Shape | None,
) -> Shape | None:
    """One shape that stands out from the background and lies inside the picture, or None.

    It lies about as far right or as far down as `level`, if that is given.
    """
    kinds = _CONFUSED if manner.hard and rng.random() < 0.3 else KINDS
    kind = kinds[rng.integers(len(kinds))]
    colour = manner.palette[rng.integers(len(manner.palette))]
    rgb = sample_rgb(colour, rng)
    contrast = manner.contrast(background.style)
    if min(distance(rgb, tone) for tone in background.colours) < contrast:
        return None
    size = _sample_size(count, rng) * (0.85 if manner.hard and not manner.lined else 1.0)
    points = np.array(outline(kind, rng)) * size / 2
    low, high = points.min(0), points.max(0)
    if np.any(high - low > 0.94):
        return None
    centre = rng.uniform(0.02 - low, 0.98 - high)
    if level is not None:
        axis = int(rng.integers(2))
        wanted = level.centre[axis] - (low + high)[axis] / 2 + rng.normal(0, LEAN)
        centre[axis] = np.clip(wanted, 0.02 - low[axis], 0.98 - high[axis])
    points += centre
    return Shape(kind, colour, rgb, tuple((float(x), float(y)) for x, y in points))


def _goes_with(shape: Shape, others: Sequence[Shape], manner: Manner) -> bool:
    """Whether all stay to be seen, and to be told apart."""
    if any(_overlap(shape, other) > manner.overlap for other in others):
        return False
    touches = [other for other in others if _overlap(shape, other) > 0]
    if not manner.lined and any(distance(shape.rgb, other.rgb) < 140 for other in touches):
        return False
    name = (shape.kind, shape.colour)
    return sum((other.kind, other.colour) == name for other in others) <= 2


def sample_scene(rng: np.random.Generator, count: int, *, hard: bool = False) -> Scene:
    """A scene of `count` shapes that overlap a little at most; fewer only if there is no room.

    A `hard` one, for training, has what is most often told wrongly: smaller shapes that overlap,
    lie level or have one colour, kinds that are easily taken for one another, thin lines (of all
    shapes, in some), and backgrounds that are not plain.
    """
    lined = hard and bool(rng.random() < 0.25)
    if lined and rng.random() < 0.6:
        background = Background("plain", ((255, 255, 255),))
    else:
        background = sample_background(rng, shapes=count > 0, hard=hard)
    manner = _sample_manner(background, rng, hard=hard, lined=lined)
    shapes: list[Shape] = []
    for _ in range(40 * count):
        if len(shapes) == count:
            break
        leveled = hard and shapes and rng.random() < 0.4
        level = shapes[rng.integers(len(shapes))] if leveled else None
        shape = _sample_shape(background, count, manner, rng, level)
        if shape is None or not _goes_with(shape, shapes, manner):
            continue
        finish = manner.finish if not manner.mixed or rng.random() < 0.5 else "flat"
        shapes.append(replace(shape, border=manner.border, finish=finish, line=manner.line))
    if count and not shapes:
        return sample_scene(rng, count, hard=hard)
    ranked = tuple(sorted(shapes, key=lambda shape: shape.centre[0]))
    return Scene(background, ranked, tuple(int(i) for i in rng.permutation(len(ranked))))
