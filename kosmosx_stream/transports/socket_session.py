"""The session that a WebSocket is: opened with its first turn, or come back to."""

import contextlib
from collections.abc import Iterator
from typing import Self

from kosmosx_stream.access.grant import Granted
from kosmosx_stream.admission.unstored import UnstoredTurns
from kosmosx_stream.ids import new_id
from kosmosx_stream.turns.live_session import LiveSession
from kosmosx_stream.turns.sessions import Sessions
from metering.authenticator import Principal


class SocketSession:
    """Use inside `with`: the session knows that somebody is connected until it is left."""

    def __init__(self, sessions: Sessions, principal: Principal) -> None:
        self._sessions = sessions
        self._principal = principal
        self._attachment: contextlib.ExitStack | None = None
        self._live: LiveSession | None = None
        self._announced = False
        self.id = principal.grant.session_id if isinstance(principal, Granted) else new_id("sess")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._attachment is not None:
            self._attachment.close()

    @property
    def began(self) -> bool:
        """Whether something was said in it."""
        return self._live is not None

    @property
    def unstored(self) -> UnstoredTurns:
        """The turns that live on this connection only."""
        return UnstoredTurns() if self._live is None else self._live.unstored

    async def open(self) -> LiveSession:
        """Open it, in the books too, unless it is."""
        if self._live is None:
            self._attach(await self._sessions.open(self.id, self._principal))
        assert self._live is not None
        return self._live

    async def rejoin(self, session_id: str) -> None:
        """Be a session that was begun on another connection.

        Raises:
            NotFound: no such session in this account.
            Conflict: the session is closed.
            PermissionDenied: a client secret that is not the session's.
        """
        if isinstance(self._principal, Granted):
            session_id = self._principal.grant.session(session_id)
        self._attach(await self._sessions.join(session_id, self._principal))
        self._announced = True

    @contextlib.contextmanager
    def announced(self) -> Iterator[bool]:
        """Whether the turn that is begun inside is the one to tell of the session's opening."""
        first, self._announced = not self._announced, True
        try:
            yield first
        except BaseException:
            self._announced = not first
            raise

    def _attach(self, session: LiveSession) -> None:
        if self._live is None:  # Two turns may have opened it at a time.
            self._live, self.id = session, session.id
            self._attachment = contextlib.ExitStack()
            self._attachment.enter_context(self._sessions.connection(session))
