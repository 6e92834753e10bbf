"""What all commands share: the data folder, and settings whose faults are told by name."""

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from kosmosx_stream.settings import Settings

DataDir = Annotated[Path | None, typer.Option(help="Folder for everything that is written.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def read_settings(**given: Any) -> Settings:
    """Settings from the command line, where given, and the environment; or the end."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        for problem in error.errors():
            field = ".".join(str(part) for part in problem["loc"])
            typer.echo(f"kosmosx: {field}: {problem['msg']}", err=True)
        raise typer.Exit(2) from None
