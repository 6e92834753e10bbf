"""The books as commands change them, and the servers told of it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import typer

from conversation.ports import LogUnavailable
from conversation.redis_connection import connect
from kosmosx_stream import bootstrap
from kosmosx_stream.access.key_news import Changed, KeyNews
from kosmosx_stream.settings import Settings
from metering.accounts import Account
from metering.errors import StoreTooNew, StoreUnavailable
from metering.store import Store

T = TypeVar("T")


def with_books(settings: Settings, work: Callable[[Store], Awaitable[T]]) -> T:
    """Do something with the books; end with what went wrong, where it is not our fault."""

    async def run() -> T:
        async with bootstrap.opened_store(settings) as store:
            return await work(store)

    try:
        bootstrap.prepare_data_dir(settings)
        _tell_of_new_books(settings)
        return asyncio.run(run())
    except (OSError, StoreTooNew, StoreUnavailable) as error:
        raise stop(str(error)) from None


def _tell_of_new_books(settings: Settings) -> None:
    """In a wrong folder there are none, and what is done there no server knows."""
    path = bootstrap.books_path(settings)
    if settings.supabase_project is None and not path.exists():
        typer.echo(f"kosmosx: there are no books in {path} yet: new ones are made", err=True)


async def all_accounts(store: Store) -> list[Account]:
    """Every account, oldest first, but deleted ones."""
    found: list[Account] = []
    while page := await store.accounts.list_accounts(after=found[-1].id if found else None):
        found += page
    return found


async def tell_servers(settings: Settings, account_id: str, key_id: str | None) -> None:
    """Have the servers over these books look at once; else they do within `key_check_s`."""
    url = settings.redis_url.get_secret_value() if settings.redis_url else None
    socket = settings.data_dir.resolve() / "valkey" / "valkey.sock"
    if url is None and not socket.exists():
        return
    redis = connect(url or f"unix://{socket}")
    try:
        await KeyNews(redis).tell(Changed(account_id, key_id))
    except LogUnavailable:
        typer.echo(
            f"kosmosx: no server could be told; they look by themselves every "
            f"{settings.key_check_s:g} s",
            err=True,
        )
    finally:
        await redis.aclose()


def stop(reason: str, status: int = 1) -> typer.Exit:
    """The end of a command that cannot do what it was asked for."""
    typer.echo(f"kosmosx: {reason}", err=True)
    return typer.Exit(status)


def show(records: list[Any], columns: tuple[str, ...], *, as_json: bool, one: bool = False) -> None:
    """Print records: as JSON, or a line each with these fields."""
    shown = [msgspec.to_builtins(record) for record in records]
    if as_json:
        typer.echo(json.dumps(shown[0] if one else shown))
        return
    for record in shown:
        typer.echo("  ".join(_text(record[column]) for column in columns))


def _text(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else "-" if value is None else str(value)
