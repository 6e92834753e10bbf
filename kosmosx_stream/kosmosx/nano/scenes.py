"""Scenes of flat shapes, as values: what is on a picture, and how it is drawn. Draws nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

Rgb = tuple[int, int, int]

KINDS = (
    "circle",
    "square",
    "triangle",
    "star",
    "diamond",
    "hexagon",
    "cross",
    "heart",
    "rectangle",
    "oval",
)
# A colour is drawn near one of its anchors, or between two of them.
COLOURS: dict[str, tuple[Rgb, ...]] = {
    "red": ((255, 0, 0), (225, 30, 40), (200, 20, 30), (230, 55, 50)),
    "green": ((0, 128, 0), (40, 160, 60), (0, 200, 0), (0, 255, 0), (70, 160, 70), (50, 205, 50)),
    "blue": ((0, 0, 255), (30, 60, 220), (30, 100, 220), (30, 136, 229), (10, 20, 150)),
    "yellow": ((255, 255, 0), (255, 225, 30), (250, 240, 60), (253, 216, 53)),
    "orange": ((255, 165, 0), (255, 140, 0), (245, 125, 30), (250, 150, 40)),
    "purple": ((128, 0, 128), (145, 30, 180), (140, 60, 200), (110, 20, 150), (142, 36, 170)),
    "pink": ((255, 192, 203), (255, 105, 180), (250, 140, 190), (240, 98, 146)),
    "brown": ((139, 69, 19), (165, 42, 42), (120, 75, 40), (150, 95, 45), (121, 85, 72)),
    "black": ((0, 0, 0), (20, 20, 22), (32, 32, 32)),
    "gray": ((128, 128, 128), (110, 112, 115), (150, 150, 150), (169, 169, 169)),
    "white": ((255, 255, 255), (245, 245, 245)),
    "cyan": ((0, 255, 255), (0, 220, 225), (40, 205, 220)),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape; lengths and places are fractions of the picture's side."""

    kind: str
    colour: str
    rgb: Rgb
    points: tuple[tuple[float, float], ...]
    border: Rgb | None = None  # a line around it
    finish: str = "flat"  # or hollow (a thick line only), dashed (its border), shaded, shadow
    line: float = 0.0  # width of a hollow one's, as a share of the side; 0: by the shape's size
    lean: float = 0.0  # added to its place when shapes are told in order, see `told_loosely`

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        xs, ys = zip(*self.points, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    @property
    def centre(self) -> tuple[float, float]:
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2

    @property
    def area(self) -> float:
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)

    @property
    def cells(self) -> tuple[int, int]:
        """Top-left and bottom-right cell of the 32x32 grid, by Kosmos-2's rounding."""
        left, top, right, bottom = (min(max(v, 0.0), 1.0) for v in self.box)
        first = math.floor(top * 32) * 32 + math.floor(left * 32)
        last = math.ceil(bottom * 32 - 1) * 32 + math.ceil(right * 32 - 1)
        return first, last


@dataclass(frozen=True, slots=True)
class Background:
    """What lies behind the shapes: `style` with its colours; `seed` places stripes and clutter."""

    style: str  # plain, gradient, stripes, clutter, texture, photo, doodles
    colours: tuple[Rgb, ...]
    noise: float = 0.0  # standard deviation over 0-255
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Scene:
    """Shapes from left to right on a background."""

    background: Background
    shapes: tuple[Shape, ...]
    order: tuple[int, ...] = field(default=())  # the painting order, indices into shapes


# --- outlines, in a unit circle around the origin -------------------------------------------------


def _regular(corners: int, turn: float) -> list[tuple[float, float]]:
    angles = [turn + 2 * math.pi * i / corners for i in range(corners)]
    return [(math.cos(a), math.sin(a)) for a in angles]


def _star(inner: float) -> list[tuple[float, float]]:
    spikes = []
    for i in range(10):
        radius = 1.0 if i % 2 == 0 else inner
        angle = -math.pi / 2 + math.pi * i / 5
        spikes.append((radius * math.cos(angle), radius * math.sin(angle)))
    return spikes


def _cross(arm: float) -> list[tuple[float, float]]:
    quarter = [(arm, -1.0), (arm, -arm), (1.0, -arm)]
    corners = []
    for _ in range(4):
        corners += quarter
        quarter = [(-y, x) for x, y in quarter]
    return corners


def _heart() -> list[tuple[float, float]]:
    outline = []
    for i in range(40):
        t = 2 * math.pi * i / 40
        x = 16 * math.sin(t) ** 3
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        outline.append((x / 16.5, -y / 16.5))
    return outline


def outline(kind: str, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Corners of a shape of this kind, about two units wide, with the kind's natural variety."""
    tilt = 0.0
    match kind:
        case "circle":
            return _regular(48, 0.0)
        case "oval":
            ratio = rng.uniform(0.42, 0.66)
            points = [(x, y * ratio) for x, y in _regular(48, 0.0)]
            tilt = rng.choice([0.0, math.pi / 2])
        case "square":
            points = [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)]
            tilt = rng.uniform(-0.2, 0.2) if rng.random() < 0.25 else 0.0
        case "rectangle":
            ratio = rng.uniform(0.4, 0.64)
            points = [(-1, -ratio), (1, -ratio), (1, ratio), (-1, ratio)]
            tilt = rng.choice([0.0, math.pi / 2])
        case "triangle":
            apex = rng.uniform(-0.25, 0.25) if rng.random() < 0.4 else 0.0
            height = rng.uniform(0.8, 1.0)
            points = [(apex, -height), (1.0, height * 0.8), (-1.0, height * 0.8)]
            tilt = rng.uniform(-0.25, 0.25) if rng.random() < 0.25 else 0.0
            if rng.random() < 0.12:
                tilt += math.pi
        case "star":
            points = _star(rng.uniform(0.36, 0.5))
            tilt = rng.uniform(-0.3, 0.3) if rng.random() < 0.25 else 0.0
        case "diamond":
            ratio = rng.uniform(0.6, 1.0)
            points = [(0, -1), (ratio, 0), (0, 1), (-ratio, 0)]
        case "hexagon":
            points = _regular(6, rng.choice([0.0, math.pi / 6]))
            tilt = rng.uniform(-0.2, 0.2) if rng.random() < 0.2 else 0.0
        case "cross":
            points = _cross(rng.uniform(0.24, 0.4))
            tilt = rng.uniform(-0.15, 0.15) if rng.random() < 0.25 else 0.0
            if rng.random() < 0.1:
                tilt += math.pi / 4
        case _:
            points = _heart()
            tilt = rng.uniform(-0.2, 0.2) if rng.random() < 0.25 else 0.0
    cos, sin = math.cos(tilt), math.sin(tilt)
    return [(x * cos - y * sin, x * sin + y * cos) for x, y in points]


# --- sampling -------------------------------------------------------------------------------------


def _clip(values: Iterable[float]) -> Rgb:
    r, g, b = (int(min(max(v, 0), 255)) for v in values)
    return r, g, b


def sample_rgb(colour: str, rng: np.random.Generator) -> Rgb:
    """A tone of a named colour."""
    anchors = COLOURS[colour]
    first = np.array(anchors[rng.integers(len(anchors))], float)
    if rng.random() < 0.35:
        return _clip(first)
    if rng.random() < 0.5:
        other = np.array(anchors[rng.integers(len(anchors))], float)
        first += (other - first) * rng.uniform(0, 0.5)
    jitter = 4 if colour in ("white", "black", "gray") else 9
    return _clip(first + rng.uniform(-jitter, jitter, 3))


def _distance(one: Rgb, other: Rgb) -> float:
    """A rough perceptual distance of two colours, 0 to about 765."""
    red, green, blue = (a - b for a, b in zip(one, other, strict=True))
    return math.sqrt(2 * red * red + 4 * green * green + 3 * blue * blue)


_STYLES = (0.48, 0.15, 0.1, 0.09, 0.06, 0.09, 0.03)
_STYLES_HARD = (0.3, 0.12, 0.12, 0.1, 0.08, 0.22, 0.06)
_STYLES_ALONE = (0.1, 0.05, 0.03, 0.07, 0.07, 0.35, 0.33)


def sample_background(
    rng: np.random.Generator, *, shapes: bool = True, hard: bool = False
) -> Background:
    """Plain in many tones (white most often) or one of the other styles; noise on some.

    Without `shapes` the picture is mostly something that the model does not know; a `hard` one is
    seldom plain.
    """
    styles = ["plain", "gradient", "stripes", "clutter", "texture", "photo", "doodles"]
    shares = _STYLES_HARD if hard else _STYLES
    style = str(rng.choice(styles, p=shares if shapes else _STYLES_ALONE))
    base = _background_tone(rng)
    if style == "plain":
        colours: tuple[Rgb, ...] = (base,)
    elif style == "gradient":
        shift = rng.uniform(-70, 70, 3) if rng.random() < 0.6 else rng.uniform(-160, 160, 3)
        colours = (base, _clip(np.array(base) + shift))
    elif style in ("texture", "photo"):
        colours = (base, *(_clip(np.array(base) + rng.uniform(-60, 60, 3)) for _ in range(2)))
    elif style == "doodles":
        ink = sample_rgb(str(rng.choice(tuple(COLOURS))), rng)
        dark = _distance(base, (255, 255, 255)) < _distance(base, (0, 0, 0))
        contrast: Rgb = (20, 20, 20) if dark else (245, 245, 245)
        colours = (base, ink if _distance(ink, base) > 150 else contrast)
    else:
        colours = (base, _clip(np.array(base) + rng.choice([-1, 1]) * rng.uniform(12, 38, 3)))
    noise = float(rng.uniform(2, 14)) if rng.random() < 0.2 else 0.0
    return Background(style, colours, noise, int(rng.integers(1 << 31)))


def _background_tone(rng: np.random.Generator) -> Rgb:
    draw = rng.random()
    if draw < 0.3:
        return 255, 255, 255
    if draw < 0.36:
        return 0, 0, 0
    if draw < 0.5:
        return _clip([rng.uniform(20, 250)] * 3)
    if draw < 0.8:
        return _clip(rng.uniform(190, 255, 3))
    return _clip(rng.uniform(0, 255, 3))


FINISHES = ("flat", "hollow", "dashed", "shaded", "shadow")
_FINISH_SHARES = (0.0, 0.35, 0.15, 0.25, 0.25)
_FINISH_SHARES_HARD = (0.0, 0.5, 0.1, 0.25, 0.15)
_LINES = (0.012, 0.045)  # widths of hard scenes' hollow shapes, thinnest and thickest
LEAN = 0.02  # of the picture's side: less than half of what makes shapes differ in place
_APART, _CLOSE = (0.5, 0.3, 0.2), (0.15, 0.3, 0.55)  # shares of the overlaps 0, 0.1 and 0.2
_CONFUSED = ("circle", "hexagon", "circle", "hexagon", "oval", "rectangle", "cross", "diamond")


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
    palette: tuple[str, ...],
    rng: np.random.Generator,
    *,
    hard: bool,
    level: Shape | None = None,
) -> Shape | None:
    """One shape that stands out from the background and lies inside the picture, or None.

    It lies about as far right or as far down as `level`, if that is given.
    """
    kinds = _CONFUSED if hard and rng.random() < 0.3 else KINDS
    kind = kinds[rng.integers(len(kinds))]
    colour = palette[rng.integers(len(palette))]
    rgb = sample_rgb(colour, rng)
    contrast = 110 if hard or background.style == "plain" else 150
    if min(_distance(rgb, tone) for tone in background.colours) < contrast:
        return None
    size = _sample_size(count, rng) * (0.85 if hard else 1.0)
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


def sample_scene(rng: np.random.Generator, count: int, *, hard: bool = False) -> Scene:
    """A scene of `count` shapes that overlap a little at most; fewer only if there is no room.

    A `hard` one, for training, has what is most often told wrongly: smaller shapes that overlap,
    lie level or have one colour, kinds that are easily taken for one another, thin lines, and
    backgrounds that are not plain.
    """
    background = sample_background(rng, shapes=count > 0, hard=hard)
    palette = tuple(COLOURS)
    if rng.random() < (0.5 if hard else 0.25):  # few colours: the same one more than once
        few = int(rng.integers(1, 4)) if hard else 2
        palette = tuple(rng.choice(palette, few, replace=False))
    allowed = float(rng.choice([0.0, 0.1, 0.2], p=_CLOSE if hard else _APART))
    border = _clip(rng.choice([0.0, 40.0, 128.0, 255.0], 1).repeat(3))
    bordered = bool(rng.random() < 0.12)
    finishes = _FINISH_SHARES_HARD if hard else _FINISH_SHARES
    finished = rng.random() < (0.5 if hard else 0.3)
    finish = str(rng.choice(FINISHES, p=finishes)) if finished else "flat"
    mixed = bool(rng.random() < 0.3)
    line = float(rng.uniform(*_LINES)) if hard else 0.0
    shapes: list[Shape] = []
    for _ in range(40 * count):
        if len(shapes) == count:
            break
        level = (
            shapes[rng.integers(len(shapes))] if hard and shapes and rng.random() < 0.3 else None
        )
        shape = _sample_shape(background, count, palette, rng, hard=hard, level=level)
        if shape is None or any(_overlap(shape, other) > allowed for other in shapes):
            continue
        repeat = [
            other for other in shapes if (other.kind, other.colour) == (shape.kind, shape.colour)
        ]
        touches = [other for other in shapes if _overlap(shape, other) > 0]
        if len(repeat) > 2 or any(_distance(shape.rgb, other.rgb) < 140 for other in touches):
            continue
        dashed = finish == "dashed"
        shapes.append(
            replace(
                shape,
                border=border if bordered or dashed else None,
                finish=finish if not mixed or rng.random() < 0.5 else "flat",
                line=line,
            )
        )
    if count and not shapes:
        return sample_scene(rng, count, hard=hard)
    ranked = tuple(sorted(shapes, key=lambda shape: shape.centre[0]))
    return Scene(background, ranked, tuple(int(i) for i in rng.permutation(len(ranked))))


def told_loosely(scene: Scene, rng: np.random.Generator) -> Scene:
    """The same picture, but shapes that lie almost level may be told in either order.

    A model that took the wrong one of two first can then go on with the other.
    """
    shapes = [replace(shape, lean=float(rng.uniform(-LEAN, LEAN))) for shape in scene.shapes]
    ranked = sorted(range(len(shapes)), key=lambda i: shapes[i].centre[0] + shapes[i].lean)
    order = tuple(ranked.index(i) for i in scene.order)
    return replace(scene, shapes=tuple(shapes[i] for i in ranked), order=order)
