"""Turns in which functions are on offer: when to call which, with what, and what to say then."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kosmosx_stream.formats.call_reader import said_call
from kosmosx_stream.formats.item_text import Function, functions_text
from kosmosx_stream.kosmosx.nano.scenes import COLOURS, KINDS
from kosmosx_stream.kosmosx.nano.wording import pick
from kosmosx_stream.kosmosx.nano.words import CITIES, NAMES, made_up, syllables

Table = Mapping[str, Any]


def _table(file: str) -> Table:
    return tomllib.loads(Path(__file__).with_name(file).read_text("utf-8"))


FUNCTIONS = _table("functions.toml")
HELD_OUT = _table("functions_held_out.toml")  # for evaluation
_WORD = re.compile(r"[a-z]{3,}|\+")
_COMMON = frozenset(  # words that tell nothing
    _WORD.findall(
        "what the please tell get show find from and for you how can give make want need who "
        "where with that not this are there which has have out check its search look about start"
        " add"
    )
)


@dataclass(frozen=True, slots=True)
class Offered:
    """A function as one dialogue offers it: `parameters` from blanks of `asks` to their names."""

    about: str
    function: Function
    parameters: Mapping[str, str]


def offer(rng: np.random.Generator, table: Table = FUNCTIONS) -> list[Offered]:
    """One to four functions, under names of many kinds."""
    count = int(rng.choice([1, 2, 3, 4], p=[0.4, 0.3, 0.2, 0.1]))
    chosen = rng.choice(list(table), count, replace=False)
    return [_offered(str(about), table[str(about)], rng) for about in chosen]


def told(offered: Sequence[Offered]) -> str:
    """What the model is told of them, as the server does."""
    return functions_text(each.function for each in offered)


def _offered(about: str, entry: Mapping[str, Any], rng: np.random.Generator) -> Offered:
    names = {
        blank: pick((blank, blank, *entry["also"][blank]), rng) for blank in entry["parameters"]
    }
    types = {blank: _type(kind) for blank, kind in entry["parameters"].items()}
    described = rng.random() < 0.2
    properties = {
        name: {"type": types[blank]} | ({"description": f"The {name}"} if described else {})
        for blank, name in names.items()
    }
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if names and rng.random() < 0.8:
        schema["required"] = list(names.values())
    if rng.random() < 0.4:
        schema["additionalProperties"] = False
    name = pick(entry["names"], rng)
    draw = rng.random()
    if draw < 0.12:
        name = f"{name}_{syllables(rng).lower()}"
    elif draw < 0.2:
        name = syllables(rng).lower()
    name = "".join(char for char in name if char.isascii()) or about
    stop = "." if rng.random() < 0.5 else ""
    tells = 0.12 <= draw < 0.2 or rng.random() < 0.93
    description = pick([entry["description"]], rng) + stop if tells else None
    return Offered(about, Function(name, description, schema), names)


def fits(offered: Sequence[Offered], question: str, table: Table = FUNCTIONS) -> bool:
    """Whether a question has a word that belongs to one of these functions."""
    words = set(_WORD.findall(question.lower()))
    return any(words & _words_of(table[each.about]) for each in offered)


def _words_of(entry: Mapping[str, Any]) -> frozenset[str]:
    text = " ".join((*entry["asks"], *entry["names"], entry["description"])).lower()
    return frozenset(_WORD.findall(text)) - _COMMON


def _type(kind: str) -> str:
    return "integer" if kind == "number" else "string"


@dataclass(frozen=True, slots=True)
class Called:
    """A question, the call that it leads to, what came back, and the answer."""

    question: str
    call: str
    response: str
    answer: str


def ask_for(offered: Offered, rng: np.random.Generator, table: Table = FUNCTIONS) -> Called:
    """A question that the function answers."""
    entry = table[offered.about]
    values = {blank: _value(kind, rng) for blank, kind in entry["parameters"].items()}
    arguments = {
        name: int(values[blank]) if entry["parameters"][blank] == "number" else values[blank]
        for blank, name in offered.parameters.items()
    }
    said = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    result = pick(entry["results"], rng).format(n=int(rng.integers(1, 60)))
    return Called(
        pick(entry["asks"], rng).format(**values),
        said_call(offered.function.name, said),
        f"<tool_response>{result}</tool_response>",
        f"The answer is: {result}",
    )


def _value(kind: str, rng: np.random.Generator) -> str:
    match kind:
        case "city":
            return made_up(CITIES, rng)
        case "person":
            return made_up(NAMES, rng)
        case "colour":
            return pick(tuple(COLOURS), rng)
        case "kind":
            return pick(KINDS, rng)
        case _:
            return str(int(rng.integers(1, 10 ** int(rng.integers(1, 5)))))
