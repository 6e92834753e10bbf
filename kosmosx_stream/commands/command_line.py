"""What all commands share: the data folder, and settings whose faults are told by name."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from kosmosx_stream.commands.setting_list import Setting, all_settings, unknown
from kosmosx_stream.settings import Settings

DataDir = Annotated[Path | None, typer.Option(help="Folder for everything that is written.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AccountId = Annotated[str, typer.Argument(help="Id of the account.")]


def read_settings(**given: Any) -> Settings:
    """Settings from the command line, where given, and the environment; or the end."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        settings = {name: each for each in all_settings() for name in (each.field, each.variable)}
        for problem in error.errors():
            setting = settings[str(problem["loc"][0])]
            option = f" (--{setting.field.replace('_', '-')})" if setting.field in given else ""
            typer.echo(
                f"kosmosx: {setting.variable}{option}: {_reason(problem, setting)}", err=True
            )
        raise typer.Exit(2) from None


def warn_of_unknown_settings() -> None:
    """Tell of variables that look like settings and are none: they would do nothing, silently."""
    for complaint in unknown(os.environ):
        typer.echo(f"kosmosx: {complaint}", err=True)


def _reason(problem: ErrorDetails, setting: Setting) -> str:
    """What was expected; our own checks say it themselves, and what they got."""
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    return f"expected {setting.expected.replace('`', '')}, got '{problem['input']}'"
