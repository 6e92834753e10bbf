"""A session as this instance holds it: its machine, its connections, its unstored turns."""

import asyncio

from conversation.items import Turn
from kosmosx_stream.admission.unstored import UnstoredTurns
from kosmosx_stream.turns.session import Session
from metering.authenticator import Principal
from metering.ledger import SessionRecord


class LiveSession:
    """A session with turns or connections on this instance."""

    def __init__(self, session_id: str, principal: Principal, *, single_turn: bool) -> None:
        self.id = session_id
        self.principal = principal
        self.single_turn = single_turn
        """Whether it closes itself after its first turn."""
        self.adopted = False
        """Whether it is here for lost turns only; its client is with another instance, or gone."""
        self.machine = Session()
        self.connections = 0
        self.unstored = UnstoredTurns()
        self.closed: asyncio.Future[SessionRecord | None] = (
            asyncio.get_running_loop().create_future()
        )
        """Its closed books; None if they were closed with its last turn."""

    @property
    def in_use(self) -> bool:
        """Whether somebody is connected, or a turn is not settled."""
        return self.connections > 0 or not self.machine.idle

    def remember(self, turn: Turn) -> None:
        """Keep an unstored turn for as long as somebody is connected."""
        if self.connections:
            self.unstored.remember(turn)
