"""Draws the pictures the demo page offers.

python -m kosmosx_stream.kosmosx.nano.samples web_demo/samples
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from kosmosx_stream.kosmosx.nano.scenes import draw, sample_scene

SAMPLES = ((123, 4), (105, 3), (111, 5), (141, 5), (113, 4), (138, 4))  # seed, shapes
SIDE = 448


def main(folder: Path) -> None:
    """Write scene-1.png, scene-2.png, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, (seed, count) in enumerate(SAMPLES, 1):
        scene = sample_scene(np.random.default_rng(seed), count)
        draw(scene, SIDE, smooth=True).save(folder / f"scene-{i}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
