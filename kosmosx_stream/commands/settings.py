"""`kosmosx settings`: what is set, where, and what each setting means."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from kosmosx_stream.commands.command_line import AsJson, DataDir, read_settings
from kosmosx_stream.settings import NANO_CHECKPOINT, Settings

AsMarkdown = Annotated[
    bool, typer.Option("--markdown", help="Print the reference of all settings.")
]

_SECTIONS = {
    "host": "Where it listens",
    "data_dir": "What it keeps, and where",
    "key_pepper": "Accounts and keys",
    "prices": "Prices and Stripe",
    "model": "Model and engine",
    "retention_s": "Times",
    "max_request_bytes": "Limits of requests and connections",
    "image_urls": "Pictures by URL, and other origins",
    "log_format": "Logs, metrics and traces",
}
"""The first setting of each part of the reference, in the order of the settings."""

_ABOUT = """\
# Configuration

<!-- `kosmosx settings --markdown` writes this, from `kosmosx_stream/settings.py`. -->

Settings are environment variables; those that `kosmosx serve --help` lists are options, too, which
win. `kosmosx settings` shows what is set where you are, `kosmosx doctor` tries it. A value that
cannot be is refused at the start, by name. Times are in seconds."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, as a reader of the reference needs it."""

    field: str
    variable: str
    expected: str
    default: str
    meaning: str
    secret: bool


def settings(
    data_dir: DataDir = None,
    as_json: AsJson = False,  # noqa: FBT002 - flags of the command line
    markdown: AsMarkdown = False,  # noqa: FBT002
) -> None:
    """Show what is set, secrets as dots; or the reference of all settings."""
    if markdown:
        typer.echo(reference(), nl=False)
        return
    found = read_settings(data_dir=data_dir)
    values = {each.variable: _shown(getattr(found, each.field)) for each in all_settings()}
    if as_json:
        typer.echo(json.dumps(values))
        return
    changed = {each.variable for each in all_settings() if each.field in found.model_fields_set}
    for variable, value in values.items():
        mark = typer.style("set", fg="green") if variable in changed else "   "
        typer.echo(f"{mark} {variable}={'' if value is None else value}")


def all_settings() -> Iterator[Setting]:
    """In the order in which they stand in the code."""
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        secret = SecretStr in {field.annotation, *get_args(field.annotation)}
        yield Setting(
            field=name,
            variable=alias if isinstance(alias, str) else f"KOSMOSX_{name.upper()}",
            expected="secret" if secret else _expected(field),
            default=_default(field.default),
            meaning=" ".join((field.description or "").split()),
            secret=secret,
        )


def reference() -> str:
    """The page in Markdown: a table for each part."""
    lines = [_ABOUT]
    for each in all_settings():
        if (section := _SECTIONS.get(each.field)) is not None:
            lines += ["", f"## {section}", "", "| variable | takes | default | meaning |"]
            lines += ["|---|---|---|---|"]
        cells = (f"`{each.variable}`", each.expected, each.default, each.meaning)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


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
    return "".join(
        f" {sign} {_number(getattr(rule, name))}"
        for rule in field.metadata
        for name, sign in signs.items()
        if hasattr(rule, name)
    )


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


def _shown(value: Any) -> Any:
    match value:
        case SecretStr():
            return "••••••••"
        case Path():
            return str(value)
        case tuple():
            return ",".join(value)
        case _:
            return value
