"""`kosmosx settings`: what is set, where, and what each setting means."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr

from kosmosx_stream.commands.command_line import (
    AsJson,
    DataDir,
    read_settings,
    warn_of_unknown_settings,
)
from kosmosx_stream.commands.setting_list import all_settings

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
cannot be is refused at the start, by name; an empty one is as good as none, and of a `KOSMOSX_`
variable that is no setting you are told. Times are in seconds."""


def settings(
    data_dir: DataDir = None,
    as_json: AsJson = False,  # noqa: FBT002 - flags of the command line
    markdown: AsMarkdown = False,  # noqa: FBT002
) -> None:
    """Show what is set, secrets as dots; or the reference of all settings."""
    if markdown:
        typer.echo(reference(), nl=False)
        return
    warn_of_unknown_settings()
    found = read_settings(data_dir=data_dir)
    values = {each.variable: _shown(getattr(found, each.field)) for each in all_settings()}
    if as_json:
        typer.echo(json.dumps(values))
        return
    changed = {each.variable for each in all_settings() if each.field in found.model_fields_set}
    for variable, value in values.items():
        mark = typer.style("set", fg="green") if variable in changed else "   "
        typer.echo(f"{mark} {variable}={'' if value is None else value}")


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
