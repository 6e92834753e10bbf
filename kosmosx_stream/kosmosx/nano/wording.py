"""Many ways to say one thing, from a few patterns: "[Please |]count the {}[| for me]."."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np

_CHOICE = re.compile(r"\[([^\]]*)\]")


def pick(options: Sequence[str], rng: np.random.Generator) -> str:
    """One of the options; of a pattern, one of its wordings."""
    parts = _parts(options[int(rng.integers(len(options)))])
    if len(parts) == 1:
        return parts[0][0]
    return _tidy("".join(part[int(rng.integers(len(part)))] for part in parts))


def wordings(pattern: str) -> Iterator[str]:
    """Every wording of a pattern."""
    return (_tidy("".join(parts)) for parts in itertools.product(*_parts(pattern)))


def patterns(file: str) -> dict[str, list[str]]:
    """The lists of patterns in a TOML file beside this one."""
    return tomllib.loads(Path(__file__).with_name(file).read_text("utf-8"))


@cache
def _parts(pattern: str) -> tuple[tuple[str, ...], ...]:
    """Fixed text and choices in turn."""
    split = _CHOICE.split(pattern)
    return tuple(
        tuple(part.split("|")) if i % 2 else (part,)
        for i, part in enumerate(split)
        if i % 2 or part or len(split) == 1
    )


def _tidy(text: str) -> str:
    """One blank between words, none before a stop, and a capital in front."""
    text = re.sub(r" +([?.!,])", r"\1", re.sub(r"  +", " ", text)).strip()
    return text[:1].upper() + text[1:]
