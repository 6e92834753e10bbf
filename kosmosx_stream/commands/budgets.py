"""`kosmosx budgets …` and `kosmosx plan`: what an account may take, as the operator says."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar, get_args

import typer

from kosmosx_stream.commands.command_line import AccountId, DataDir, read_settings
from kosmosx_stream.commands.operating import stop, with_books
from kosmosx_stream.protocol.budgets import micro_usd
from kosmosx_stream.protocol.errors import InvalidRequest
from metering.budgets import Budget, Standing
from metering.errors import NotFound
from metering.plans import PlanName
from metering.store import Store
from metering.usage import usd

T = TypeVar("T")

budgets = typer.Typer(no_args_is_help=True, help="What accounts may spend in a month.")


@budgets.command("set")
def set_budget(
    account: AccountId,
    limit_usd: Annotated[str, typer.Argument(help="Dollars a month, as in 25.00.")],
    data_dir: DataDir = None,
    *,
    fallback_usd: Annotated[
        str | None,
        typer.Option("--fallback", help="Dollars on top, for the cheaper model's answers."),
    ] = None,
    soft: Annotated[bool, typer.Option("--soft", help="Warn only; stop nothing.")] = False,
    open_: Annotated[
        bool, typer.Option("--open", help="Let the account's owner change it.")
    ] = False,
) -> None:
    """Set what an account may spend in a month. Its owner cannot change it, unless --open."""
    try:
        limit = micro_usd(limit_usd, "limit_usd")
        fallback = 0 if fallback_usd is None else micro_usd(fallback_usd, "--fallback")
    except InvalidRequest as error:
        raise typer.BadParameter(error.message) from None
    if fallback and soft:
        raise typer.BadParameter("expected --fallback without --soft: a soft budget never ends")
    budget = Budget(
        account_id=account,
        limit_micro_usd=limit,
        hard=not soft,
        locked=not open_,
        fallback_micro_usd=fallback,
    )

    async def work(store: Store) -> Standing | None:
        await store.budgets.set_budget(budget)
        return await store.budgets.standing(account, time.time())

    _show(_with_books(data_dir, work))


@budgets.command("show")
def show(account: AccountId, data_dir: DataDir = None) -> None:
    """What the month may cost an account, and has."""

    async def work(store: Store) -> Standing | None:
        await store.accounts.account(account)
        return await store.budgets.standing(account, time.time())

    _show(_with_books(data_dir, work))


@budgets.command("remove")
def remove(account: AccountId, data_dir: DataDir = None) -> None:
    """Let an account spend what it likes."""

    async def work(store: Store) -> None:
        await store.accounts.account(account)
        await store.budgets.remove_budget(account)

    _with_books(data_dir, work)


def plan(
    account: AccountId,
    name: Annotated[str, typer.Argument(help="Plan of the price book; basic, standard, ...")],
    data_dir: DataDir = None,
) -> None:
    """Put an account on a plan: how much its keys may take in a minute."""
    if name not in get_args(PlanName):
        raise typer.BadParameter(f"expected {', '.join(get_args(PlanName))}, got '{name}'")
    _with_books(data_dir, lambda store: store.accounts.set_plan(account, name))


def _with_books(data_dir: Path | None, work: Callable[[Store], Awaitable[T]]) -> T:
    try:
        return with_books(read_settings(data_dir=data_dir), work)
    except NotFound as error:
        raise stop(f"there is no {error}") from None


def _show(standing: Standing | None) -> None:
    if standing is None:
        typer.echo("no budget")
        return
    kind, more = "hard" if standing.hard else "soft", standing.fallback_micro_usd > 0
    typer.echo(
        f"{kind}, {usd(standing.limit_micro_usd)} USD a month: "
        f"{usd(standing.spent_micro_usd)} spent, {usd(standing.held_micro_usd)} held, "
        f"{usd(standing.left_micro_usd)} left"
        + (f"; {usd(standing.fallback_micro_usd)} more for the cheaper model" * more)
    )
