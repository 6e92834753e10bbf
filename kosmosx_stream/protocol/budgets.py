"""The month's budget of an account on the wire."""

import re
from typing import Literal

import msgspec

from kosmosx_stream.protocol.errors import InvalidRequest
from kosmosx_stream.protocol.fields import decode_object, missing, unsupported
from metering.budgets import Budget, Standing, month
from metering.reports import Month
from metering.usage import MICRO_PER_USD, usd

USD = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,6}))?")
"""An exact decimal, to a millionth of a dollar."""


class BudgetObject(msgspec.Struct, frozen=True, kw_only=True):
    """What the month may cost, and has. Without a budget, `limit_usd` and `left_usd` are null.

    `held_usd` is set aside for answers under way. `locked`: only the operator can change it.
    `resets_at`, in Unix seconds, is when the next month begins. `fallback_usd` is what the month
    may cost on top, for answers of the cheaper model when the budget has ended.
    """

    object: Literal["kosmosx.budget"] = "kosmosx.budget"
    month: str
    limit_usd: str | None
    fallback_usd: str
    hard: bool
    locked: bool
    spent_usd: str
    held_usd: str
    left_usd: str | None
    resets_at: int


def decode_budget(body: bytes | str, account_id: str) -> Budget:
    """Decode the body of `PUT /v1/budget`.

    Raises:
        InvalidRequest: a field is missing or wrong.
    """
    fields = decode_object(body)
    fields.refuse_extensions()
    limit = fields.required_string("limit_usd")
    hard = fields.boolean("hard")
    if hard is None:
        raise missing("hard")
    fallback = fields.string("fallback_usd")
    return Budget(
        account_id=account_id,
        limit_micro_usd=micro_usd(limit, "limit_usd"),
        hard=hard,
        fallback_micro_usd=0 if fallback is None else micro_usd(fallback, "fallback_usd"),
    )


def check_fallback(budget: Budget, *, served: bool) -> None:
    """See that a cheaper model could answer when the budget ends. `served`: there is one.

    Raises:
        InvalidRequest: there is none, or the budget is soft, which never ends.
    """
    if not budget.fallback_micro_usd:
        return
    if not served:
        raise unsupported("fallback_usd", "this server has no cheaper model")
    if not budget.hard:
        raise InvalidRequest(
            "Invalid 'fallback_usd': expected with a hard budget only; a soft one never ends.",
            code="invalid_value",
            param="fallback_usd",
        )


def micro_usd(amount: str, param: str) -> int:
    """An amount of dollars in micro-dollars.

    Raises:
        InvalidRequest: it is negative, too large, too exact or no decimal.
    """
    match = USD.fullmatch(amount)
    if match is None:
        raise InvalidRequest(
            f"Invalid '{param}': expected dollars as a decimal of at least 0 with up to 6 places, "
            f"as in '12.50', but got '{amount[:32]}' instead.",
            code="invalid_value",
            param=param,
        )
    dollars, places = match[1], match[2] or ""
    return int(dollars) * MICRO_PER_USD + int(places.ljust(6, "0"))


def budget_object(standing: Standing | None, spent_micro_usd: int, at: float) -> BudgetObject:
    """The budget as the account's owner sees it."""
    return BudgetObject(
        month=month(at),
        limit_usd=usd(standing.limit_micro_usd) if standing else None,
        fallback_usd=usd(standing.fallback_micro_usd if standing else 0),
        hard=standing is not None and standing.hard,
        locked=standing is not None and standing.locked,
        spent_usd=usd(spent_micro_usd),
        held_usd=usd(standing.held_micro_usd if standing else 0),
        left_usd=usd(standing.left_micro_usd) if standing else None,
        resets_at=int(Month.of(at).end),
    )
