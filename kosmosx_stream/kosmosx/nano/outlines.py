"""The outline of each kind of shape, in a unit circle around the origin."""

from __future__ import annotations

import math

import numpy as np


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
