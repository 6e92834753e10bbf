"""What a session has live on other instances: a receipt waits until it is ended and settled."""

from collections.abc import Callable

from conversation.entries import Ended
from conversation.ports import EventLog
from kosmosx_stream.turns.ending import Ending
from kosmosx_stream.turns.response_log import ResponseLog

BARRED_S = 60.0
"""For so long nothing begins in a session that is being closed; then it is, or that failed."""


class Elsewhere:
    """Looks into the log; whose instance it is, it does not know."""

    def __init__(self, log: EventLog, responses: ResponseLog, ending: Ending) -> None:
        self._log = log
        self._responses = responses
        self._ending = ending

    async def end(self, session_id: str, is_here: Callable[[str], bool]) -> None:
        """Let nothing begin in the session any more; end and settle what is not here.

        Raises:
            Unavailable: the model is not loaded yet, or the log cannot be read.
            LogUnavailable: the log cannot be written.
        """
        for response_id in await self._log.live_in(session_id, bar_s=BARRED_S):
            if not is_here(response_id):
                await self._ending.take_and_end(response_id)

    async def goes_on(self, session_id: str) -> bool:
        """Whether something is still generated; what has ended only is settled.

        Raises:
            Unavailable: the log cannot be read.
            LogUnavailable: the log cannot be written.
        """
        for response_id in await self._log.live_in(session_id):
            match await self._responses.entries(response_id):
                case [*_, Ended()]:
                    await self._ending.take_and_end(response_id)
                case _:
                    return True
        return False
