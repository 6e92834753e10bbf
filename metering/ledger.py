"""The ledger port: sessions, the turns in them, and the receipts at their end.

A session that is closed has its final receipt. A turn that settles later still reaches the ledger
(tokens that were served are never lost), in the session's next segment: the receipt that was
handed out stays as it is, and what came after it can be told apart and billed by itself.

A segment holds the turns of one UTC hour. To cut it is to write what it owes into the outbox (see
`Outbox`), one row for each meter with billable units, in the same transaction: the sums of the
segment's units and costs, and the second of its latest row. Later turns go into the next segment,
so each ledger row is in one outbox row exactly.
"""

from enum import IntEnum
from typing import Literal, Protocol

import msgspec

from metering.receipt import Receipt
from metering.usage import LedgerRow, TurnUsage

SessionState = Literal["open", "closed"]


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of use that ends with a receipt.

    `segment` counts the billed stretches: turns are recorded into the current one, and cutting it,
    like closing, moves on to the next. `key_id` is None where no key was asked for. `metadata` is
    its opener's.
    `closed_at`, `close_reason` and `receipt` are set if, and only if, the session is closed.
    """

    id: str
    account_id: str
    key_id: str | None
    state: SessionState
    segment: int
    opened_at: float
    last_seen_at: float
    closed_at: float | None = None
    close_reason: str | None = None
    receipt: Receipt | None = None
    metadata: dict[str, str] = {}


class SessionUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over a session's turns, those included that were free.

    `late_micro_usd` is the part of `cost_micro_usd` that settled after the close and is therefore
    not on the receipt.
    """

    turns: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    images: int
    detections: int
    cost_micro_usd: int
    late_micro_usd: int

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens


class Recorded(IntEnum):
    """What `record_turn` did; false if it did nothing."""

    AGAIN = 0
    """The turn was in the ledger already; nothing changed."""
    NEW = 1
    LATE = 2
    """Written, but after the session was closed: the server closed too early and should log it."""


class Closing(msgspec.Struct, frozen=True):
    """When a session is closed, in Unix seconds, and why."""

    at: float
    reason: str


class Ledger(Protocol):
    """Sessions, turns and receipts. Any call may raise StoreUnavailable."""

    async def open_session(
        self,
        session_id: str,
        account_id: str,
        key_id: str | None,
        at: float,
        *,
        metadata: dict[str, str] | None = None,
    ) -> SessionRecord:
        """Open a session; if it exists, it is returned as it is (perhaps closed).

        Session ids are unique across accounts and made by the server.

        Raises:
            NotFound: no such account or key, the account is deleted, or the session or key is
                another account's.
        """
        ...

    async def session(self, account_id: str, session_id: str) -> SessionRecord: ...

    async def list_sessions(
        self,
        account_id: str,
        *,
        limit: int = 20,
        after: str | None = None,
        state: SessionState | None = None,
    ) -> list[SessionRecord]:
        """The account's sessions, newest first, from the one that follows session `after`.

        With a `state` those that are in it. Raises NotFound if there is no session `after`.
        """
        ...

    async def open_sessions(self, account_id: str) -> int:
        """How many sessions of the account are open."""
        ...

    async def touch(self, account_id: str, session_id: str, at: float) -> None:
        """Say that the session is in use at `at`, so that no sweeper closes it. Admit turns so.

        Raises:
            SessionClosed: it was closed; open another.
        """
        ...

    async def record_turn(
        self, usage: TurnUsage, rows: tuple[LedgerRow, ...], closing: Closing | None = None
    ) -> Recorded:
        """Write the turn and its ledger rows, both or nothing, once per response id.

        In the same transaction it gives back what the turn had set aside of its budget. The first
        call wins; the rows are those of `ledger_rows(usage, …)`, none for a free turn.
        If there are rows, and rows of another hour in the current segment, that is cut first.
        `closing`: close the session after this turn, as `close_session` does.

        Raises:
            NotFound: no such session in the usage's account.
            ValueError: a row is not of this turn.
        """
        ...

    async def rows(self, account_id: str, session_id: str) -> list[LedgerRow]:
        """The session's rows, late ones too, the oldest turn's first."""
        ...

    async def session_usage(self, account_id: str, session_id: str) -> SessionUsage: ...

    async def close_session(
        self,
        account_id: str,
        session_id: str,
        at: float,
        reason: str,
        *,
        idle_before: float | None = None,
    ) -> SessionRecord:
        """Close the session and store its receipt, once; later calls return what was stored.

        The receipt covers all segments. The current one is cut.
        Settle the session's turns first. A sweeper passes `idle_before`: a session that was in use
        at that time or later is left, and returned, open.
        """
        ...

    async def cut_segments(self, now: float, *, limit: int = 100) -> int:
        """Cut what nobody else will, in up to `limit` sessions; in how many it was.

        That are the segments with rows of an hour before that of `now`, and those with rows in
        closed sessions (late turns).
        """
        ...

    async def idle_sessions(self, before: float, limit: int = 100) -> list[SessionRecord]:
        """Open sessions of any account that were last in use before `before`, idlest first."""
        ...


def check_rows(usage: TurnUsage, rows: tuple[LedgerRow, ...]) -> None:
    """Refuse rows that are not the turn's own; for adapters.

    Raises:
        ValueError: a row is of another response, session or account.
    """
    owner = (usage.response_id, usage.session_id, usage.account_id)
    for row in rows:
        if (row.response_id, row.session_id, row.account_id) != owner:
            raise ValueError(f"{row.response_id}/{row.meter}: not a row of {usage.response_id}")
