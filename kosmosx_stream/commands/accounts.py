"""`kosmosx accounts …`: what an operator does about accounts."""

import sys
import time
from typing import Annotated

import typer

from kosmosx_stream import bootstrap
from kosmosx_stream.commands.command_line import AccountId, AsJson, DataDir, read_settings
from kosmosx_stream.commands.operating import all_accounts, show, stop, tell_servers, with_books
from kosmosx_stream.ids import new_id
from kosmosx_stream.protocol.accounts import account_object
from metering.accounts import Account
from metering.errors import EmailTaken, NotFound
from metering.identities import LocalIdentities
from metering.passwords import InvalidEmail, WeakPassword, normalize_email
from metering.store import Store

accounts = typer.Typer(no_args_is_help=True, help="Accounts.")

COLUMNS = ("id", "email", "plan", "name")
FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password, do not ask for it.")
]


@accounts.command("create")
def create(
    data_dir: DataDir = None,
    email: Annotated[
        str | None, typer.Option(help="Who signs in; by default nobody does, and keys are used.")
    ] = None,
    name: Annotated[str, typer.Option(help="A name to know the account by.")] = "",
    *,
    password_stdin: FromStdin = False,
    as_json: AsJson = False,
) -> None:
    """Create an account, also where registration is closed."""
    settings = read_settings(data_dir=data_dir)
    made = Account(id=new_id("acct"), name=name, created_at=time.time(), email=_email(email))

    async def without_password(store: Store) -> Account:
        return await store.accounts.create_account(made)

    async def with_password(store: Store) -> Account:
        async with bootstrap.opened_identities(settings, store) as identities:
            return await identities.register(made, password)

    if made.email is None:
        created = with_books(settings, without_password)
    else:
        password = _password(asked=not password_stdin)
        try:
            created = with_books(settings, with_password)
        except EmailTaken:
            raise stop(f"there is an account with the email '{made.email}'") from None
        except WeakPassword as error:
            raise stop(f"password: {error}") from None
    show([account_object(created)], COLUMNS, as_json=as_json, one=True)


@accounts.command("list")
def list_all(data_dir: DataDir = None, *, as_json: AsJson = False) -> None:
    """List accounts, oldest first, but deleted ones."""
    found = with_books(read_settings(data_dir=data_dir), all_accounts)
    show([account_object(each) for each in found], COLUMNS, as_json=as_json)


@accounts.command("show")
def show_one(account_id: AccountId, data_dir: DataDir = None, *, as_json: AsJson = False) -> None:
    """Show an account."""

    async def work(store: Store) -> Account:
        return await store.accounts.account(account_id)

    try:
        found = with_books(read_settings(data_dir=data_dir), work)
    except NotFound:
        raise _no_account(account_id) from None
    if found.deleted_at is not None:
        raise _no_account(account_id)
    show([account_object(found)], COLUMNS, as_json=as_json, one=True)


@accounts.command("password")
def set_password(
    account_id: AccountId,
    data_dir: DataDir = None,
    *,
    password_stdin: FromStdin = False,
    as_json: AsJson = False,
) -> None:
    """Give an account another password: its owner forgot theirs."""
    settings = read_settings(data_dir=data_dir)
    chosen = _password(asked=not password_stdin)

    async def work(store: Store) -> Account:
        account = await store.accounts.account(account_id)
        async with bootstrap.opened_identities(settings, store) as identities:
            if not isinstance(identities, LocalIdentities):
                raise stop("passwords are kept by Supabase Auth: send a recovery link from there")
            await identities.set_password(account, chosen)
        return account

    try:
        changed = with_books(settings, work)
    except NotFound:
        raise stop(f"nobody signs in to an account '{account_id}'") from None
    except WeakPassword as error:
        raise stop(f"password: {error}") from None
    show([account_object(changed)], COLUMNS, as_json=as_json, one=True)


@accounts.command("delete")
def delete(
    account_id: AccountId,
    data_dir: DataDir = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete an account: its keys die at once, its words soon; its books stay, nameless."""
    settings = read_settings(data_dir=data_dir)
    if not yes:
        typer.confirm(f"Delete {account_id} and all that was said in it?", abort=True, err=True)

    async def work(store: Store) -> Account:
        deleted = await store.accounts.delete_account(account_id, time.time())
        await tell_servers(settings, account_id, None)
        return deleted

    try:
        deleted = with_books(settings, work)
    except NotFound:
        raise _no_account(account_id) from None
    show([account_object(deleted)], ("id",), as_json=as_json, one=True)


def _email(email: str | None) -> str | None:
    try:
        return None if email is None else normalize_email(email)
    except InvalidEmail as error:
        raise typer.BadParameter(str(error), param_hint="--email") from None


def _password(*, asked: bool) -> str:
    if not asked:
        return sys.stdin.readline().rstrip("\n")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


def _no_account(account_id: str) -> typer.Exit:
    return stop(f"no account '{account_id}'")
