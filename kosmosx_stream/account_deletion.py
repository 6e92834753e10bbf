"""The end of an account: its sessions are closed and billed, its words are erased.

The books forget at once who it was. What is live on some server is ended, and what is left in Redis
is erased, at once, and once more when nothing can be live any more; then it is done, whichever
server died meanwhile.
"""

import asyncio
import logging
import time

from conversation.ports import LogUnavailable
from conversation.redis_erasure import RedisErasure
from kosmosx_stream.key_watch import KeyWatch
from kosmosx_stream.protocol.errors import ApiError
from kosmosx_stream.turns.sessions import Sessions
from metering.authenticator import Principal
from metering.errors import StoreUnavailable
from metering.store import Store

logger = logging.getLogger(__name__)

SETTLED_S = 60.0
"""After so long nothing of a deleted account is live."""
SWEEP_S = 20.0


class AccountDeletion:
    """Deletes accounts, and goes on with what other servers, or commands, have begun."""

    def __init__(
        self, store: Store, erasure: RedisErasure, sessions: Sessions, key_watch: KeyWatch
    ) -> None:
        self._store = store
        self._erasure = erasure
        self._sessions = sessions
        self._key_watch = key_watch

    async def delete(self, account_id: str) -> None:
        """Delete an account; what cannot be cleared away now is soon.

        Raises:
            metering.errors.NotFound: there is no such account.
            metering.errors.StoreUnavailable: it may be deleted or not; ask again.
        """
        await self._store.accounts.delete_account(account_id, time.time())
        await self._key_watch.changed(account_id, None)
        try:
            await self._clear(account_id)
        except (ApiError, LogUnavailable, StoreUnavailable) as error:
            logger.warning("account %s is erased later: %s", account_id, error)

    async def run(self) -> None:
        """Clear away for ever what deleted accounts have left."""
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self.sweep(time.time() - SETTLED_S)
            except Exception:
                logger.exception("deleted accounts could not be erased; it is tried again")

    async def sweep(self, before: float) -> None:
        """One round, for accounts that were deleted before this time."""
        for account in await self._store.accounts.unerased_accounts(before):
            await self._clear(account.id)
            await self._store.accounts.mark_erased(account.id, time.time())

    async def _clear(self, account_id: str) -> None:
        owner = Principal(account_id, key_id=None)
        while left := await self._store.ledger.list_sessions(account_id, limit=100, state="open"):
            for session in left:
                await self._sessions.close(session.id, owner)
        await self._erasure.erase(account_id)
