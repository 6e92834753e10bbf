"""The words that fill the blanks of small talk, and names made up on the spot."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np

_WORDS: dict[str, list[str]] = tomllib.loads(
    Path(__file__).with_name("words.toml").read_text("utf-8")
)
NAMES, CITIES, PETS, TINTS = (_WORDS[key] for key in ("names", "cities", "pets", "tints"))
_ONSETS, _VOWELS, _CODAS = (_WORDS[key] for key in ("onsets", "vowels", "codas"))


def syllables(rng: np.random.Generator) -> str:
    """A made-up name of one to four syllables."""
    word = ""
    for _ in range(int(rng.choice([1, 2, 3, 4], p=[0.12, 0.48, 0.3, 0.1]))):
        if word == "" and rng.random() < 0.25:
            word += _VOWELS[rng.integers(len(_VOWELS))]
        else:
            word += _ONSETS[rng.integers(len(_ONSETS))] + _VOWELS[rng.integers(len(_VOWELS))]
        if rng.random() < 0.3:
            word += _CODAS[rng.integers(len(_CODAS))]
    return word.capitalize()


def letters(rng: np.random.Generator) -> str:
    """Random letters: no pattern to lean on, only copying helps."""
    alphabet = list("abcdefghijklmnopqrstuvwxyz")
    return "".join(rng.choice(alphabet, int(rng.integers(2, 9)))).capitalize()


def scribble(rng: np.random.Generator) -> str:
    """Two or three characters from other scripts; the tokenizer spells them in bytes."""
    start = int(rng.choice([0x4E00, 0x3041, 0x0410, 0x03B1, 0x0627, 0x1F600]))
    return "".join(chr(start + int(rng.integers(0, 24))) for _ in range(int(rng.integers(2, 4))))


def made_up(real: list[str], rng: np.random.Generator) -> str:
    """A proper name: real, made of syllables or of letters, now and then two words."""
    draw = rng.random()
    if draw < 0.02:
        return scribble(rng)
    name = real[rng.integers(len(real))]
    if draw > 0.45:
        name = syllables(rng) if draw < 0.8 else letters(rng)
    if rng.random() < 0.05:
        name += f" {syllables(rng)}"
    case = rng.random()
    return name.lower() if case < 0.14 else name.upper() if case < 0.17 else name
