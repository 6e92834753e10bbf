"""`kosmosx doctor`: what a server would find here, and what to do about it."""

import asyncio
from typing import Annotated

import msgspec
import typer

from kosmosx_stream.commands.command_line import DataDir, read_settings, warn_of_unknown_settings
from kosmosx_stream.settings import Settings

_MARKS = {"ok": ("ok", "green"), "warning": ("look", "yellow"), "failure": ("MEND", "red")}


def doctor(
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,  # noqa: FBT002
) -> None:
    """Check settings, Redis, books, model, engine, Stripe, clock and disk; 1 is for a fault."""
    warn_of_unknown_settings()
    settings = read_settings(data_dir=data_dir)
    if asyncio.run(_examine(settings, as_json=as_json)):
        raise typer.Exit(1)


async def _examine(settings: Settings, *, as_json: bool) -> bool:
    """Print the findings; True if one is a failure."""
    from kosmosx_stream.doctor import examine  # noqa: PLC0415 - other commands do without

    findings = []
    async for finding in examine(settings):
        findings.append(finding)
        if not as_json:
            mark, color = _MARKS[finding.verdict]
            typer.echo(f"{typer.style(f'{mark:5}', fg=color)} {finding.about}: {finding.found}")
            if finding.do:
                typer.echo(f"      -> {finding.do}")
    if as_json:
        typer.echo(msgspec.json.encode(findings).decode())
    return any(finding.verdict == "failure" for finding in findings)
