"""One database's ports, together.

Each call on them is one transaction: it happened entirely and survives a crash, or it did not
happen. Every write is idempotent by its primary key, so a caller that got no answer just calls
again. Whatever belongs to another account is NotFound.
"""

from collections.abc import Awaitable, Callable

import msgspec

from metering.accounts import Accounts
from metering.budgets import Budgets
from metering.ledger import Ledger
from metering.outbox import Outbox
from metering.reports import Reports
from metering.subscriptions import Subscriptions


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """What one database keeps. `close` lets go of connections and threads; no call may follow."""

    accounts: Accounts
    ledger: Ledger
    budgets: Budgets
    outbox: Outbox
    reports: Reports
    subscriptions: Subscriptions
    close: Callable[[], Awaitable[None]]
