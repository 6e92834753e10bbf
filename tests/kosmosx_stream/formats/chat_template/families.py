"""Tokenizers of tiny models, each written and loaded once: Hypothesis calls a test many times."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

Write = Callable[[str, Path], Path]
"""Puts the files of a family into a folder; returns the folder."""


FOLDER = Path()
"""Where they are written; a fixture sets it."""


@cache
def written(write: Write, family: str) -> Path:
    """The folder of a family."""
    return write(family, FOLDER / write.__module__ / family)


@cache
def theirs(write: Write, family: str) -> Any:
    """The tokenizer as transformers loads it."""
    from transformers import AutoTokenizer  # noqa: PLC0415  # seconds

    return AutoTokenizer.from_pretrained(written(write, family))
