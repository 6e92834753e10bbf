"""The `kosmosx` command."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version as package_version
from pathlib import Path
from socket import socket
from typing import Annotated

import typer

from conversation.ports import LogUnavailable
from kosmosx_stream import bootstrap
from kosmosx_stream.commands import accounts as account_commands
from kosmosx_stream.commands import billing as billing_commands
from kosmosx_stream.commands import budgets as budget_commands
from kosmosx_stream.commands import keys as key_commands
from kosmosx_stream.commands import receipts as receipt_commands
from kosmosx_stream.commands.command_line import (
    DataDir,
    read_settings,
    warn_of_unknown_settings,
)
from kosmosx_stream.commands.doctor import doctor
from kosmosx_stream.commands.health_probe import NotReady, check_ready, local_host
from kosmosx_stream.commands.operating import stop
from kosmosx_stream.commands.settings import settings as show_settings
from kosmosx_stream.embedded_valkey import DataDirInUse
from kosmosx_stream.model_folder import ModelNotFoundError, model_folder
from kosmosx_stream.redis_watch import UnusableRedis, check_named
from kosmosx_stream.server import Server, bind, farewell
from kosmosx_stream.server_log import write_logs
from kosmosx_stream.settings import Settings
from kosmosx_stream.shared_books import OtherBooks, check_books
from metering.errors import StoreTooNew, StoreUnavailable
from metering.prices import PricesInvalid

logger = logging.getLogger(__name__)

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(key_commands.keys, name="keys")
app.add_typer(account_commands.accounts, name="accounts")
app.add_typer(billing_commands.stripe, name="stripe")
app.add_typer(receipt_commands.receipts, name="receipts")
app.command()(billing_commands.reconcile)
app.command()(doctor)
app.command("settings")(show_settings)
app.add_typer(budget_commands.budgets, name="budgets")
app.command()(budget_commands.plan)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    data_dir: DataDir = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Checkpoint to serve: its folder, or its name on the Hugging Face hub."),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Serving processes, sharing it all.")] = None,
) -> None:
    """Run the server: memory, log, books and model start with it."""
    warn_of_unknown_settings()
    settings = read_settings(host=host, port=port, data_dir=data_dir, model=model, workers=workers)
    with _saying_why():
        bootstrap.load_prices(settings)
    with _saying_why(), _listener(settings) as listener, bootstrap.owned(settings):
        asyncio.run(check_named(settings))
        _serve(_with_model(settings), listener)


@contextlib.contextmanager
def _saying_why() -> Iterator[None]:
    """End with what went wrong, where it is not our fault."""
    try:
        yield
    except (
        OSError,
        DataDirInUse,
        LogUnavailable,
        ModelNotFoundError,
        OtherBooks,
        PricesInvalid,
        UnusableRedis,
        StoreTooNew,
        StoreUnavailable,
    ) as error:
        raise stop(str(error)) from None


def _with_model(settings: Settings) -> Settings:
    """The settings, with the models' folders on this machine."""
    found = {"model": model_folder(settings.model, weights=settings.engine != "remote")}
    if (cheaper := settings.fallback) is not None:
        weights = cheaper.engine != "remote"
        found["fallback_model"] = model_folder(
            cheaper.model, weights=weights, setting="KOSMOSX_FALLBACK_MODEL"
        )
    return settings.model_copy(update=found)


def _listener(settings: Settings) -> socket:
    return bind(settings.host, settings.port, send_timeout_s=settings.send_timeout_s)


def _serve(settings: Settings, listener: socket) -> None:
    started = time.monotonic()
    bootstrap.keep_temporary_files(settings)
    write_logs(settings)
    _look_at_window(settings)
    first_key = asyncio.run(_prepare_books(settings))

    def announce() -> None:
        url = _url(settings.host, listener.getsockname()[1])
        typer.echo(_banner(url, first_key, settings, time.monotonic() - started))

    serve_here = _serve_alone if settings.workers == 1 else _serve_by_workers
    if not serve_here(settings, listener, announce):
        raise typer.Exit(1)


def _look_at_window(settings: Settings) -> None:
    """Warn of one that the model was not made for: here, as each worker would say it again."""
    from kosmosx_stream.engines import factory  # noqa: PLC0415 - as below

    try:
        caution = factory.caution(settings)
    except Exception as error:  # as the engine would refuse it, some seconds later
        raise ModelNotFoundError(factory.complaint(settings, error)) from error
    if caution is not None:
        logger.warning(caution)


def _serve_alone(settings: Settings, listener: socket, announce: Callable[[], None]) -> bool:
    """Serve in this process; whether it ended well."""
    # The model's libraries take seconds to import; the other commands do without.
    from kosmosx_stream.app import create_app  # noqa: PLC0415

    application = create_app(settings, progress=_progress)
    application.state.on_ready = announce
    server = Server(application, settings)
    return server.run_to_end([listener], _complain, lambda: _progress(farewell(settings)))


def _serve_by_workers(settings: Settings, listener: socket, announce: Callable[[], None]) -> bool:
    """Serve by several processes; whether they ended well."""
    from kosmosx_stream.workers import host  # noqa: PLC0415

    reason = host.run(settings, listener, progress=_progress, on_ready=announce)
    if reason is not None:
        _complain(reason)
    return reason is None


@app.command()
def health(
    host: Annotated[str | None, typer.Option(help="Address that the server listens on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port that it listens on.")] = None,
    timeout_s: Annotated[float, typer.Option(help="Longest wait for its answer, seconds.")] = 3,
) -> None:
    """Exit with 0 if the server on this machine is ready, else with 1 and the reason."""
    settings = read_settings(host=host, port=port)
    try:
        check_ready(local_host(settings.host), settings.port, timeout_s=timeout_s)
    except NotReady as reason:
        raise stop(str(reason)) from None
    typer.echo("ready")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(package_version("kosmosx-stream"))


async def _prepare_books(settings: Settings) -> str | None:
    """See that they can be used; returns the first key, where one is wanted."""
    async with bootstrap.opened_store(settings) as store:
        await check_books(settings)
        return await bootstrap.first_key(store, settings) if settings.first_key else None


def _url(host: str, port: int) -> str:
    """Where a browser on this machine finds the server."""
    name = local_host(host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _complain(reason: str) -> None:
    typer.echo(f"kosmosx: {reason}", err=True)


def _progress(message: str) -> None:
    typer.echo(f"  {message}")


def _banner(url: str, key: str | None, settings: Settings, seconds: float) -> str:
    ready = f"\nkosmosx is ready after {seconds:.0f} s.\n\n  Page  {url}/"
    stop = f"\n\nCtrl-C stops it; what was said stays in {settings.data_dir}.\n"
    if key is None:
        return f"{ready}\n  Key   `kosmosx keys create` makes one{stop}"
    body = json.dumps({"model": settings.model_name, "input": "Hello!", "stream": True})
    headers = f"-H 'Authorization: Bearer {key}' -H 'Content-Type: application/json'"
    command = f"curl -N {url}/v1/responses {headers} -d '{body}'"
    return f"{ready}#key={key}\n  Key   {key}\n  Try   {command}{stop}"
