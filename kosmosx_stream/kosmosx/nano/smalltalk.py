"""Small talk: greetings, what the model is, what it cannot do, and what it was told before."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kosmosx_stream.kosmosx.nano.scenes import COLOURS, KINDS
from kosmosx_stream.kosmosx.nano.wording import pick
from kosmosx_stream.kosmosx.nano.words import CITIES, NAMES, PETS, TINTS, made_up

_PHRASES = tomllib.loads(Path(__file__).with_name("phrases.toml").read_text("utf-8"))

CANNOT: str = _PHRASES["cannot"]
NO_PICTURE: str = _PHRASES["no_picture"]
OTHER: list[str] = _PHRASES["other"]
ABOUT_PICTURE: list[str] = _PHRASES["about_picture"]
FILLERS: list[str] = _PHRASES["fillers"]
INSTRUCTIONS: list[str] = _PHRASES["instructions"]


# With a picture these ask about it.
_ABOUT_THIS = re.compile(r"(.*\b)?([Ww]hat is this\b.*|[Ww]hat can you (see|tell me)\?|Ok|Look.*)")


@dataclass(frozen=True, slots=True)
class Exchange:
    """Ways to ask one thing, and the answer."""

    questions: list[str]
    answer: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One kind of thing a user may tell: how it is told, asked for and given back."""

    weight: float
    tell: list[str]
    reply: str
    ask: list[str]
    recall: str
    unknown: str


TALK = {name: Exchange(**entry) for name, entry in _PHRASES["talk"].items()}
FACTS = {name: Fact(**entry) for name, entry in _PHRASES["facts"].items()}
VALUES = {"name": NAMES, "colour": TINTS, "city": CITIES, "pet": PETS}


@dataclass(frozen=True, slots=True)
class Said:
    """A turn of small talk. `verbatim` marks words of the user that must not get typos."""

    question: str
    answer: str
    verbatim: bool = False


def talk(rng: np.random.Generator, *, seen_picture: bool) -> Said:
    """A greeting, a question about the model, or something it cannot do."""
    draw = rng.random()
    if draw < 0.3:
        question = pick(OTHER, rng)
        while "{}" in question:
            question = question.replace("{}", pick(FILLERS, rng), 1)
        return Said(question, CANNOT)
    if draw < 0.42 and not seen_picture:
        blanks = {"kind": pick(KINDS, rng), "colour": pick(tuple(COLOURS), rng)}
        return Said(pick(ABOUT_PICTURE, rng).format(**blanks), NO_PICTURE)
    exchange = list(TALK.values())[int(rng.integers(len(TALK)))]
    question = pick(exchange.questions, rng)
    while seen_picture and _ABOUT_THIS.fullmatch(question):
        question = pick(exchange.questions, rng)
    return Said(question, exchange.answer)


def tell(what: str, value: str, rng: np.random.Generator) -> Said:
    """The user tells something about themselves."""
    fact = FACTS[what]
    return Said(pick(fact.tell, rng).format(value), fact.reply.format(value), verbatim=True)


def recall(what: str, value: str | None, rng: np.random.Generator) -> Said:
    """The user asks for what they told, or for what they never told."""
    fact = FACTS[what]
    return Said(pick(fact.ask, rng), fact.unknown if value is None else fact.recall.format(value))


def sample_fact(rng: np.random.Generator) -> tuple[str, str]:
    """Which fact, and its value."""
    what = str(rng.choice(list(FACTS), p=[fact.weight for fact in FACTS.values()]))
    value = pick(TINTS, rng) if what == "colour" else made_up(VALUES[what], rng)
    return what, value
