"""The store port: accounts, keys, sessions, and the ledger with its receipts.

Each call is one transaction: it happened entirely and survives a crash, or it did not happen.
Every write is idempotent by its primary key, so a caller that got no answer just calls again.
Whatever belongs to another account is NotFound.

A session that is closed has its final receipt. A turn that settles later still reaches the ledger
(tokens that were served are never lost), in the session's next segment: the receipt that was
handed out stays as it is, and what came after it can be told apart and billed by itself.
"""

from enum import IntEnum
from typing import Literal, Protocol

import msgspec

from metering.receipt import Receipt
from metering.usage import LedgerRow, TurnUsage


class NotFound(Exception):
    """No such thing, or it belongs to someone else."""


class SessionClosed(Exception):
    """The session takes no more turns."""


class StoreUnavailable(Exception):
    """The store did not acknowledge. Trying again is safe."""


class StoreTooNew(Exception):
    """The store was migrated by a newer version of this program."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Who pays."""

    id: str
    name: str
    created_at: float


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A key as the store knows it. `hash` is the MAC of the token (see `metering.keys`)."""

    id: str
    account_id: str
    hash: bytes
    label: str
    created_at: float
    revoked_at: float | None = None


SessionState = Literal["open", "closed"]


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of use that ends with a receipt.

    `segment` counts the billed stretches: turns are recorded into the current one, and closing
    moves on to the next. `key_id` is None where no key was asked for. `metadata` is its opener's.
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


class Store(Protocol):
    """Accounts, keys, sessions and ledger. Any call may raise StoreUnavailable."""

    async def close(self) -> None:
        """Let go of connections and threads. No call may follow."""
        ...

    async def create_account(self, account: Account) -> Account:
        """Add an account; if there is one of this id, it stays as it is and is returned."""
        ...

    async def account(self, account_id: str) -> Account: ...

    async def create_key(self, key: KeyRecord) -> KeyRecord:
        """Add a key; if there is one of this id, it stays as it is and is returned.

        Raises:
            NotFound: no such account.
        """
        ...

    async def find_key(self, key_id: str) -> KeyRecord | None: ...

    async def list_keys(self, account_id: str) -> list[KeyRecord]:
        """All keys of the account, revoked ones too, oldest first."""
        ...

    async def revoke_key(self, key_id: str, at: float) -> KeyRecord:
        """Make the key invalid from now on. The first revocation's time stays."""
        ...

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
            NotFound: no such account or key, or the session or key is another account's.
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

    async def touch(self, account_id: str, session_id: str, at: float) -> None:
        """Say that the session is in use at `at`, so that no sweeper closes it. Admit turns so.

        Raises:
            SessionClosed: it was closed; open another.
        """
        ...

    async def record_turn(self, usage: TurnUsage, rows: tuple[LedgerRow, ...]) -> Recorded:
        """Write the turn and its ledger rows, both or nothing, once per response id.

        The first call wins; the rows are those of `ledger_rows(usage, …)`, none for a free turn.

        Raises:
            NotFound: no such session in the usage's account.
            ValueError: a row is not of this turn.
        """
        ...

    async def ledger(self, account_id: str, session_id: str) -> list[LedgerRow]:
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

        Settle the session's turns first. A sweeper passes `idle_before`: a session that was in use
        at that time or later is left, and returned, open.
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
