"""The outbox port: what is owed to Stripe, until Stripe has it.

A row is written by the ledger, in the transaction that cuts a session's segment (see `Ledger`):
one for each meter with billable units, its units, its time and its identifier frozen. It belongs
to the customer that its account is linked to; one whose account is not linked waits until it is,
however long. Stripe counts an identifier once in 24 hours and takes timestamps of the last 35
days, and a row stays clear of both limits:

    pending ── claim, send ──> accepted             Stripe said that it has it
       │  ├── Stripe says it never will ─> dead      an operator has to look
       │  ├── 34 days old, never sent ──> expired ──> invoiced      as an item on the next invoice
       │  └── sent and unanswered for 23 h ──> ambiguous            not sent again
       │                                        └─ reconcile ──> accepted, or resolved by a repair
       └── a repair is a row of its own, of the units that were found missing

All times are Unix seconds, by the caller's clock.
"""

from typing import Literal, Protocol

import msgspec

from metering.reconciliation import MeterHour, Verdict
from metering.usage import Meter

HOUR_S = 3600
AMBIGUOUS_AFTER_S = 23 * HOUR_S
"""Stripe remembers identifiers for at least 24 hours; after this nothing is sent twice."""
EXPIRED_AFTER_S = 34 * 86400
"""Stripe takes what is up to 35 days old."""

OutboxState = Literal["pending", "accepted", "ambiguous", "resolved", "dead", "expired", "invoiced"]


class OutboxRow(msgspec.Struct, frozen=True, kw_only=True):
    """Billable units of one customer and meter, at one time.

    `id` is `kx:{session}:{segment}:{meter}`, or `kx:repair:{customer}:{meter}:{hour}:{number}`
    for a repair, which has no session. `cost_micro_usd` is what the ledger says they cost.
    `claimed_until` tells one claim from another: a claim ends by it, or by a call that names it.
    `first_attempt_at` is the first attempt that may have succeeded without an answer.
    """

    id: str
    account_id: str
    customer_id: str | None
    session_id: str | None
    segment: int | None
    meter: Meter
    units: int
    cost_micro_usd: int
    timestamp: int
    state: OutboxState = "pending"
    attempts: int = 0
    first_attempt_at: float | None = None
    claimed_until: float = 0.0
    note: str = ""
    """Why it is not accepted, in Stripe's words."""


class OutboxHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the bill arrives. `oldest_pending_at` is when the oldest unsent units were used."""

    pending: int
    unlinked: int
    ambiguous: int
    dead: int
    expired: int
    oldest_pending_at: int | None
    mismatched_hours: int
    """Hours in which Stripe has something else than we sent."""
    mismatched_units: int
    """By how much, at the last look, all hours together."""


class Outbox(Protocol):
    """Each call is one transaction. Any call may raise StoreUnavailable; repeating it is safe."""

    async def link_customer(self, account_id: str, customer_id: str, at: float) -> int:
        """Have the customer pay for the account from now on, and for what waited for one.

        Rows that have a customer keep it. Returns how many got one.

        Raises:
            NotFound: no such account.
        """
        ...

    async def customer(self, account_id: str) -> str | None:
        """The customer that pays for the account."""
        ...

    async def claim(
        self, now: float, *, lease_s: float, limit: int, delay_s: float = 0.0, abreast: int = 1
    ) -> list[OutboxRow]:
        """Take pending rows to send, oldest first; they are this caller's for `lease_s`.

        A row is due if it has a customer, was used at least `delay_s` ago and less than
        EXPIRED_AFTER_S ago, is claimed by nobody, its postponement is over, and its first
        unanswered attempt is less than AMBIGUOUS_AFTER_S ago. Of one customer and meter at most
        `abreast` rows are claimed at a time, by all callers together.

        The attempt is counted, and `first_attempt_at` set if it is null, before this returns.
        """
        ...

    async def accept(self, row_id: str, at: float) -> bool:
        """Stripe has it. False, and nothing happens, if it is not pending or ambiguous."""
        ...

    async def postpone(
        self, row: OutboxRow, at: float, *, until: float, note: str, refused: bool
    ) -> bool:
        """End the claim that returned `row`, unsuccessfully; the row is not due before `until`.

        `refused` means that Stripe certainly did not take it: if that is so of every attempt until
        now, then `first_attempt_at` is null again. False, and nothing happens, if the row is not
        pending or the claim is not the latest one.
        """
        ...

    async def bury(self, row_id: str, at: float, note: str) -> bool:
        """Stripe will never take it: it is dead. False if it is not pending."""
        ...

    async def age(self, now: float) -> tuple[int, int]:
        """Give up on rows that are too old to be sent; how many are now ambiguous, and expired.

        Of the pending rows that have a customer and are claimed by nobody: with an unanswered
        attempt AMBIGUOUS_AFTER_S ago, or with one and used EXPIRED_AFTER_S ago: ambiguous. Without
        one and used EXPIRED_AFTER_S ago: expired.
        """
        ...

    async def claim_expired(self, now: float, *, lease_s: float, limit: int) -> list[OutboxRow]:
        """Take expired rows to invoice, oldest first; they are this caller's for `lease_s`."""
        ...

    async def invoice(self, row_id: str, at: float, note: str) -> bool:
        """An expired row stands on an invoice; `note` says on which. False if it is not expired."""
        ...

    async def unreconciled(self, now: float, *, limit: int) -> list[MeterHour]:
        """Hours to compare with Stripe's: those never compared first, then those longest ago.

        Those with a row that was not compared yet, that ended RECONCILE_AFTER_S ago or earlier, in
        which no row is pending, and nothing changed for RECONCILE_AFTER_S.
        """
        ...

    async def reconcile(self, hour: MeterHour, found: int, at: float) -> Verdict:
        """Settle an hour in which Stripe has `found` units; `at` is before Stripe was asked.

        What is expected is the sum of the accepted, ambiguous and resolved rows that are no
        repairs, less the repairs that were expired or invoiced. `judge` says what that means:

        - equal: ambiguous rows are accepted, and all rows of the hour count as compared.
        - repaired: ambiguous rows are resolved, and a row of the missing units is inserted, with
          the latest timestamp of the ambiguous rows, their account, and their part of the cost
          (rounded down).
        - mismatch: nothing changes.
        - unsettled: the hour is not one that `unreconciled(at)` would return; nothing changes.

        The figures of every verdict but `unsettled` are kept for `health`.
        """
        ...

    async def rows(self, account_id: str, session_id: str) -> list[OutboxRow]:
        """The session's rows, by segment and meter; none if it is another account's."""
        ...

    async def attention(self, *, limit: int = 100) -> list[OutboxRow]:
        """Ambiguous, dead and expired rows of anybody, oldest first."""
        ...

    async def health(self) -> OutboxHealth: ...
