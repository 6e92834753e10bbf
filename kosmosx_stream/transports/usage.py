"""`/v1/usage` and `/v1/budget`: what an account uses, and what it may."""

import time
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response

from kosmosx_stream.protocol.budgets import (
    BudgetObject,
    budget_object,
    check_fallback,
    decode_budget,
)
from kosmosx_stream.protocol.errors import InvalidRequest, PermissionDenied
from kosmosx_stream.protocol.usage_reports import (
    Forecast,
    UsageReport,
    forecast,
    usage_csv,
    usage_report,
)
from kosmosx_stream.services import Services
from kosmosx_stream.transports.endpoint import read_body
from kosmosx_stream.transports.operation import operation
from kosmosx_stream.transports.query import Choice, Choices, Day
from metering.authenticator import Principal
from metering.reports import (
    DAY_S,
    DIMENSIONS,
    RECENT_DAYS,
    Dimension,
    Month,
    projected_micro_usd,
    total,
)

MAX_ROWS = 10_000

START = Day(name="start", says="The first day, UTC; by default the first of this month.")
END = Day(name="end", says="The last day, UTC; by default today.")
GROUP_BY = Choices(name="group_by", says="What to sum by; by default `day`.", choices=DIMENSIONS)
FORMAT = Choice(name="format", says="How the rows are written.", choices=("json", "csv"))


@operation(needs="usage", answer=UsageReport, query=(START, END, GROUP_BY, FORMAT), text="text/csv")
async def report(request: Request, services: Services, principal: Principal) -> Any:
    """`GET /v1/usage`: what was used, by day, model, key or session."""
    query, now = request.query_params, time.time()
    start = START.read(query)
    end = END.read(query)
    start = Month.of(now).start if start is None else start
    end = (now if end is None else end) // DAY_S * DAY_S + DAY_S
    if end <= start:
        raise InvalidRequest("'end' must not be before 'start'.", code="invalid_value", param="end")
    by = cast("frozenset[Dimension]", GROUP_BY.read(query)) or frozenset[Dimension](["day"])
    rows = await services.store.reports.usage(
        principal.account_id, start, end, by, limit=MAX_ROWS + 1
    )
    if FORMAT.read(query) == "csv":
        columns = [dimension for dimension in DIMENSIONS if dimension in by]
        disposition = {"content-disposition": 'attachment; filename="usage.csv"'}
        text = usage_csv(rows[:MAX_ROWS], columns)
        return Response(text, media_type="text/csv", headers=disposition)
    return usage_report(rows[:MAX_ROWS], start, end, has_more=len(rows) > MAX_ROWS)


@operation(needs="usage", answer=Forecast)
async def look_ahead(_request: Request, services: Services, principal: Principal) -> Any:
    """`GET /v1/usage/forecast`: the month so far, and what it will come to."""
    account_id, now, store = principal.account_id, time.time(), services.store
    spent = await store.budgets.spent(account_id, now)
    recent = await store.reports.usage(
        account_id, now - RECENT_DAYS * DAY_S, now, frozenset(), limit=1
    )
    projected = projected_micro_usd(spent, total(recent).cost_micro_usd, now)
    return forecast(await store.budgets.standing(account_id, now), spent, projected, now)


@operation(needs="usage", answer=BudgetObject)
async def budget(_request: Request, services: Services, principal: Principal) -> Any:
    """`GET /v1/budget`: what the month may cost, and has."""
    return await _budget(services, principal.account_id)


@operation(needs="manage", body="SetBudget", answer=BudgetObject)
async def set_budget(request: Request, services: Services, principal: Principal) -> Any:
    """`PUT /v1/budget`: set what a month may cost."""
    body = await read_body(request, services.settings.max_request_bytes)
    wanted = decode_budget(body, principal.account_id)
    check_fallback(wanted, served=services.settings.fallback is not None)
    await _check_unlocked(services, principal.account_id)
    await services.store.budgets.set_budget(wanted)
    return await _budget(services, principal.account_id)


@operation(needs="manage", answer=BudgetObject)
async def remove_budget(_request: Request, services: Services, principal: Principal) -> Any:
    """`DELETE /v1/budget`: let a month cost what it likes."""
    await _check_unlocked(services, principal.account_id)
    await services.store.budgets.remove_budget(principal.account_id)
    return await _budget(services, principal.account_id)


async def _check_unlocked(services: Services, account_id: str) -> None:
    standing = await services.store.budgets.standing(account_id, time.time())
    if standing is not None and standing.locked:
        raise PermissionDenied(
            "The operator of this server set the budget; only they can change it.",
            code="budget_locked",
        )


async def _budget(services: Services, account_id: str) -> BudgetObject:
    now, budgets = time.time(), services.store.budgets
    return budget_object(
        await budgets.standing(account_id, now), await budgets.spent(account_id, now), now
    )
