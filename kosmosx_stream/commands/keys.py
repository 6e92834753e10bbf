"""`kosmosx keys …`: what an operator does about keys, of whichever account."""

import time
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar, cast

import msgspec
import typer

from kosmosx_stream import bootstrap
from kosmosx_stream.commands.command_line import AsJson, DataDir, read_settings
from kosmosx_stream.commands.operating import all_accounts, show, stop, tell_servers, with_books
from kosmosx_stream.protocol.keys import (
    DEFAULT_OVERLAP_S,
    SCOPES,
    KeyObject,
    NewKeyObject,
    key_object,
    new_key_object,
)
from kosmosx_stream.settings import Settings
from metering.accounts import KeyRecord, Scope
from metering.errors import KeyEnded, NotFound
from metering.issuing import Issuer, NewKey
from metering.store import Store

T = TypeVar("T")

keys = typer.Typer(no_args_is_help=True, help="API keys.")

EVERYTHING = ",".join(SCOPES)

KeyId = Annotated[str, typer.Argument(help="Id of the key, as `kosmosx keys list` shows it.")]
Scopes = Annotated[
    str, typer.Option(help=f"What it is good for, with commas between: {', '.join(SCOPES)}.")
]


class OperatorKey(KeyObject, frozen=True, kw_only=True):
    """A key with its account."""

    account_id: str


class NewOperatorKey(NewKeyObject, frozen=True, kw_only=True):
    """A new key with its account."""

    account_id: str


@keys.command("create")
def create(
    data_dir: DataDir = None,
    account: Annotated[
        str | None,
        typer.Option(help="Id of the account; by default the key gets an account of its own."),
    ] = None,
    label: Annotated[str, typer.Option(help="A name to know the key by.")] = "",
    scopes: Scopes = EVERYTHING,
    expires_in_days: Annotated[
        float | None, typer.Option(min=0, help="When it ends; by default never.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Create a key. It is shown this once."""
    settings, wanted, at = read_settings(data_dir=data_dir), _scopes(scopes), time.time()
    expires_at = None if expires_in_days is None else at + 86400 * expires_in_days

    async def work(store: Store) -> NewKey:
        issuer = Issuer(store.accounts, bootstrap.load_pepper(settings))
        account_id = account or await bootstrap.create_account(store, label or "unnamed")
        return await issuer.issue(
            account_id, at=at, label=label, scopes=wanted, expires_at=expires_at
        )

    try:
        _hand_out(with_books(settings, work), at, as_json=as_json)
    except NotFound:
        raise typer.BadParameter(f"no account '{account}'", param_hint="--account") from None


@keys.command("list")
def list_all(
    data_dir: DataDir = None,
    account: Annotated[str | None, typer.Option(help="Of this account only.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List keys without their secrets, revoked ones too."""

    async def work(store: Store) -> list[KeyRecord]:
        owners = [account] if account else [each.id for each in await all_accounts(store)]
        return [key for owner in owners for key in await store.accounts.list_keys(owner)]

    at = time.time()
    found = with_books(read_settings(data_dir=data_dir), work)
    shown = [_operator_key(key, at) for key in found]
    show(shown, ("id", "account_id", "status", "scopes", "label"), as_json=as_json)


@keys.command("rotate")
def rotate(
    key_id: KeyId,
    data_dir: DataDir = None,
    overlap_s: Annotated[
        float, typer.Option(min=0, help="How long the old key stays valid, in seconds.")
    ] = DEFAULT_OVERLAP_S,
    *,
    as_json: AsJson = False,
) -> None:
    """Make a key in the place of another, which ends after a while. It is shown this once."""
    settings, at = read_settings(data_dir=data_dir), time.time()

    async def work(store: Store) -> NewKey:
        issuer = Issuer(store.accounts, bootstrap.load_pepper(settings))
        account_id = await _owner(store, key_id)
        made = await issuer.rotate(account_id, key_id, at=at, overlap_s=overlap_s)
        await tell_servers(settings, account_id, key_id)
        return made

    try:
        _hand_out(_found(settings, work, key_id), at, as_json=as_json)
    except KeyEnded:
        raise stop(f"key '{key_id}' was revoked, has expired, or was rotated before") from None


@keys.command("revoke")
def revoke(key_id: KeyId, data_dir: DataDir = None, *, as_json: AsJson = False) -> None:
    """Make a key invalid at once, and for ever."""
    settings, at = read_settings(data_dir=data_dir), time.time()

    async def work(store: Store) -> KeyRecord:
        account_id = await _owner(store, key_id)
        revoked = await store.accounts.revoke_key(account_id, key_id, at)
        await tell_servers(settings, account_id, key_id)
        return revoked

    shown = _operator_key(_found(settings, work, key_id), at)
    show([shown], ("id", "status"), as_json=as_json, one=True)


def _found(settings: Settings, work: Callable[[Store], Awaitable[T]], key_id: str) -> T:
    try:
        return with_books(settings, work)
    except NotFound:
        raise stop(f"no key '{key_id}'") from None


async def _owner(store: Store, key_id: str) -> str:
    key = await store.accounts.find_key(key_id)
    if key is None:
        raise NotFound
    return key.account_id


def _scopes(text: str) -> frozenset[Scope]:
    named = {name.strip() for name in text.split(",")}
    if unknown := named - set(SCOPES):
        raise typer.BadParameter(
            f"'{min(unknown)}' is none of {', '.join(SCOPES)}", param_hint="--scopes"
        )
    return cast("frozenset[Scope]", frozenset(named))


def _operator_key(key: KeyRecord, at: float) -> OperatorKey:
    shown = msgspec.structs.asdict(key_object(key, at))
    return OperatorKey(**shown, account_id=key.account_id)


def _hand_out(made: NewKey, at: float, *, as_json: bool) -> None:
    shown = msgspec.structs.asdict(new_key_object(made.record, made.token, at))
    record = NewOperatorKey(**shown, account_id=made.record.account_id)
    show([record], ("key",), as_json=as_json, one=True)
