"""Turns that asked not to be stored: they live as long as their connection, and no longer."""

import msgspec

from conversation.items import Turn

REMEMBERED_RESPONSES = 64
"""Unstored responses that a connection can continue; the least recently used go first."""
LONGEST_CHAIN = 1000
"""Turns of a chain that are kept, the newest ones; as many as are read of a stored one."""


class Chain(msgspec.Struct, frozen=True):
    """An unstored response and what it continued: unstored `turns`, oldest first.

    `stored_id` is the stored response that the oldest of them continued, if it did.
    """

    turns: tuple[Turn, ...]
    stored_id: str | None


class UnstoredTurns:
    """What can be continued on one connection without having been stored."""

    def __init__(self) -> None:
        self._chains: dict[str, Chain] = {}

    def remember(self, turn: Turn) -> None:
        """Keep a turn, to be continued by its response id."""
        before = self._chains.get(turn.parent_id) if turn.parent_id else None
        if before is None:
            chain = Chain((turn,), turn.parent_id)
        elif len(before.turns) < LONGEST_CHAIN:
            chain = Chain((*before.turns, turn), before.stored_id)
        else:
            chain = Chain((*before.turns[1:], turn), None)
        self._chains[turn.response_id] = chain
        while len(self._chains) > REMEMBERED_RESPONSES:
            del self._chains[next(iter(self._chains))]

    def chain(self, response_id: str) -> Chain | None:
        """A response and what came before it; None if it is unknown, stored or evicted."""
        chain = self._chains.pop(response_id, None)
        if chain is not None:
            self._chains[response_id] = chain  # The last to be evicted.
        return chain

    def evict(self, response_id: str) -> None:
        """Forget a response; what already continues it goes on."""
        self._chains.pop(response_id, None)

    def clear(self) -> None:
        """Forget all: the connection is gone."""
        self._chains.clear()
