"""Ports: the log of responses, and the history of turns. Adapters are named tech + port."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from conversation.items import Conversation, Turn


class Lease(msgspec.Struct, frozen=True):
    """The right to write one response's log until it lapses. A newer epoch fences older ones.

    `losses`: how many owners were lost before, which did not hand the response over.
    """

    response_id: str
    epoch: int
    losses: int = 0


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A turn's place in a conversation, which is at `revision`, as its admission found it."""

    account_id: str
    conversation_id: str
    revision: str


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """A response that is to be generated once, whoever asks for it by this name.

    `name` is the account's and secret; `fingerprint` tells what was asked for.
    """

    name: str
    fingerprint: str


class Reserved(msgspec.Struct, frozen=True):
    """A name's response is another's work, or was: `started` once its log has begun."""

    response_id: str
    fingerprint: str
    started: bool


class Lapsed(msgspec.Struct, frozen=True):
    """Responses whose lease has lapsed before they were released, the longest lapsed first.

    `at_s`: the time by the clock that leases lapse by. `next_s`: seconds until the next lease
    lapses, unless it is renewed; None if none is held.
    """

    response_ids: list[str]
    at_s: float
    next_s: float | None = None


class Write(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One response's share of a group commit.

    `expected` is the log's length before this write: an overtaken write is refused. The very same
    write may be repeated when its reply was lost: it is acknowledged, and appended once.
    `turn` goes with the terminal entry only: history and log change in the same atomic step.
    """

    lease: Lease
    expected: int
    entries: tuple[bytes, ...]
    turn: Turn | None = None


class Fenced(Exception):
    """The write came from an owner whose lease was taken over, or at the wrong length."""


class LogUnavailable(Exception):
    """The store cannot be reached or cannot take writes; nothing was acknowledged."""


class NotFound(Exception):
    """No such thing, or it belongs to someone else."""


class Conflict(Exception):
    """The conversation is in a live turn, or has changed since it was read."""


class Barred(Exception):
    """The session takes no more responses: it is being closed."""


class EventLog(Protocol):
    """Durable, fenced, append-only log of each response."""

    async def acquire(
        self,
        response_id: str,
        ttl_s: float,
        claim: Claim | None = None,
        held: Lease | None = None,
        session_id: str = "",
    ) -> Lease | None:
        """Take the lease with a new epoch; None while another owner's lease is alive.

        `held`: the lease of a reservation, which is gone on with; None if it was taken over.
        `session_id`: of a response that is about to begin; one without is gone on with.

        With a claim the turn takes its conversation in the same step, and holds it until its turn
        is in the history or its lease is released. A lease that lapsed does not give the
        conversation up: whoever takes the response over goes on in its place.

        Raises:
            Conflict: another live turn holds the conversation, or it has changed.
            NotFound: there is no such conversation.
            Barred: the session takes no more responses.
        """
        ...

    async def live_in(self, session_id: str, *, bar_s: float = 0) -> list[str]:
        """The responses that have begun in the session and were not released.

        With `bar_s` no other begins in it for so long, from the very same moment on.
        """
        ...

    async def reserve(
        self, reservation: Reservation, response_id: str, *, ttl_s: float, kept_s: float
    ) -> Lease | Reserved:
        """Take the name for a response that is about to begin, with its lease, in one step.

        The name is kept for `kept_s`, and for as long as its response has a log or a living lease:
        where the owner died before it said anything, the next one who asks takes the name over.
        """
        ...

    async def unreserve(self, reservation: Reservation, lease: Lease) -> None:
        """Free the name of a response that was refused; one whose log has begun keeps it."""
        ...

    async def seize(self, response_id: str, ttl_s: float) -> Lease | None:
        """Take the lease from its owner, dead or alive; None if the response was released."""
        ...

    async def append(self, writes: Sequence[Write], ttl_s: float) -> list[Exception | None]:
        """Commit all writes in one round trip and renew their leases.

        Each write is atomic on its own and gets its own verdict: None, Fenced or Conflict.

        Raises:
            LogUnavailable: the store did not acknowledge; each write may be in the log or not.
                Only the same writes may be tried again.
        """
        ...

    async def renew(self, leases: Sequence[Lease], ttl_s: float) -> list[bool]:
        """Prolong leases that are still ours, in one round trip; a ttl of 0 hands them over."""
        ...

    async def release(
        self, lease: Lease, *, keep_s: float | None = None, session_id: str = ""
    ) -> None:
        """Give the lease up: the response is settled and no longer anybody's work.

        What its owner still writes is refused. The log is kept for `keep_s`, or for as long as
        logs are kept here. `session_id`: the one that it began in.
        """
        ...

    async def expired(self, limit: int) -> Lapsed:
        """At most `limit` responses that are to be taken over, and when to look again."""
        ...

    async def read(self, response_id: str, start: int = 0, limit: int | None = None) -> list[bytes]:
        """Entries from index `start` on, at most `limit`; none if there is no such log."""
        ...

    async def was_set_back(self, response_id: str) -> bool:
        """Whether the store was set back to an older state while the response was live.

        What it says since may differ from what was read before, at the same positions. Known as
        long as one of those is up whose acknowledged writes were lost.
        """
        ...

    async def delete(self, response_id: str) -> None:
        """Remove a finished response's log."""
        ...


class Attendance(Protocol):
    """Which responses are being read, and which sessions are in use, on which instance.

    What is live on one instance may be read on another: its owner asks before it gives up.
    """

    async def note(self, names: Sequence[str], ttl_s: float) -> None:
        """Say that these are attended to here; it holds for `ttl_s`.

        Raises:
            LogUnavailable: the store cannot be reached.
        """
        ...

    async def elsewhere(self, name: str) -> bool:
        """Whether another instance has said so, last and within its time.

        Raises:
            LogUnavailable: the store cannot be reached.
        """
        ...


class History(Protocol):
    """Turns by response id, conversations as named lines of turns, and image bytes.

    Everything belongs to an account; another account's things are NotFound. What is used is kept
    for another retention period. Every method raises LogUnavailable without the store.
    """

    async def turn(self, account_id: str, response_id: str) -> Turn: ...

    async def chain(self, account_id: str, response_id: str) -> list[Turn]:
        """The turn and its ancestors, oldest first, in one round trip.

        Deleted ancestors are left out.

        Raises:
            NotFound: the turn is missing, or an ancestor has expired.
        """
        ...

    async def glimpse(self, account_id: str, response_id: str, limit: int) -> list[Turn]:
        """As `chain`, the newest `limit` turns; they are not kept any longer for that."""
        ...

    async def add_turn(self, turn: Turn) -> None:
        """Store a turn, and move its conversation's head there; it takes up what is pending.

        A turn that holds the conversation may follow any other; without that, only the head.

        Raises:
            Conflict: it does not follow the conversation's head, or another turn holds it, or
                it is gone, or another turn of that id exists.
        """
        ...

    async def delete_turn(self, account_id: str, response_id: str) -> None:
        """Forget a turn. A conversation goes on with the turns around it.

        Raises:
            Conflict: its conversation is in a live turn.
        """
        ...

    async def create_conversation(self, conversation: Conversation) -> None:
        """Begin a conversation.

        Raises:
            Conflict: another one has that id.
        """
        ...

    async def conversation(self, account_id: str, conversation_id: str) -> Conversation: ...

    async def conversations(
        self, account_id: str, *, limit: int, after: str | None = None, oldest_first: bool = False
    ) -> list[Conversation]:
        """Those of the account by their last turn or edit, at most `limit` of them.

        Raises:
            NotFound: the one after which to begin is not among them.
        """
        ...

    async def describe_conversation(
        self, account_id: str, conversation_id: str, metadata: dict[str, str]
    ) -> Conversation:
        """Replace the metadata, at any time; returns the conversation as it is then."""
        ...

    async def revise_conversation(
        self, conversation: Conversation, revision: str, turns: Sequence[Turn] = ()
    ) -> None:
        """Store the conversation's head and pending items, and new or changed turns, in one step.

        It must be at `conversation.revision`, and is at `revision` afterwards.

        Raises:
            Conflict: it is in a live turn, or has changed since it was read.
        """
        ...

    async def delete_conversation(self, account_id: str, conversation_id: str) -> None:
        """Forget the line and what is pending; its turns stay, as responses do.

        Raises:
            Conflict: it is in a live turn.
        """
        ...

    async def put_image(self, account_id: str, image_id: str, data: bytes) -> None: ...

    async def image(self, account_id: str, image_id: str) -> bytes: ...
