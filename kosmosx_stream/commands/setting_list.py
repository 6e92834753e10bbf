"""All settings, in words: their variables, what they take, and what they mean."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from kosmosx_stream.settings import NANO_CHECKPOINT, Settings

PREFIX = "KOSMOSX_"
CLOSE = 0.8
"""From so much likeness on, one name may be meant by another."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, as a reader of the reference needs it."""

    field: str
    variable: str
    expected: str
    default: str
    meaning: str
    secret: bool


def all_settings() -> Iterator[Setting]:
    """In the order in which they stand in the code."""
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        secret = SecretStr in {field.annotation, *get_args(field.annotation)}
        yield Setting(
            field=name,
            variable=alias if isinstance(alias, str) else f"{PREFIX}{name.upper()}",
            expected="secret" if secret else _expected(field),
            default=_default(field.default),
            meaning=" ".join((field.description or "").split()),
            secret=secret,
        )


def unknown(variables: Iterable[str]) -> Iterator[str]:
    """A complaint of each of ours that is no setting, most often a misspelt one."""
    known = [each.variable for each in all_settings()]
    for variable in sorted(variables):
        if variable.startswith(PREFIX) and variable not in known:
            # `KOSMOSX_REDIS_URL`: some settings have the names that they have everywhere.
            bare = variable.removeprefix(PREFIX)
            likely = [bare] if bare in known else get_close_matches(variable, known, 1, CLOSE)
            meant = f"; did you mean {likely[0]}?" if likely else ""
            yield f"{variable} is no setting, and does nothing{meant}"


def _expected(field: FieldInfo) -> str:
    """The values that it takes, in words."""
    kind: Any = field.annotation
    if type(None) in get_args(kind):
        kind = get_args(kind)[0]
    kind = getattr(kind, "__value__", kind)
    if get_origin(kind) is Literal:
        return ", ".join(f"`{word}`" for word in get_args(kind))
    if get_origin(kind) is tuple:
        return "list with commas between"
    names = {int: "whole number", float: "number", bool: "`1` or `0`", Path: "path"}
    return names.get(kind, "text") + _bounds(field)


def _bounds(field: FieldInfo) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤"}
    bounds = {
        name: _number(getattr(rule, name))
        for rule in field.metadata
        for name in signs
        if hasattr(rule, name)
    }
    if bounds.keys() == {"ge", "le"}:
        return f" from {bounds['ge']} to {bounds['le']}"
    return "".join(f" {signs[name]} {bound}" for name, bound in bounds.items())


def _default(value: Any) -> str:
    match value:
        case None | ():
            return ""
        case bool():
            return f"`{int(value)}`"
        case int() | float():
            return f"`{_number(value)}`"
        case Path() if value == NANO_CHECKPOINT:
            return "the bundled one"
        case _:
            return f"`{value}`"


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
