"""What a key holds open ends with the key: WebSockets, streams, and the sessions that it opened.

No token waits for it: a change is told to every server (`key_news.py`), which then asks the books
once. What is open is looked up now and then, too, for news that got lost.
"""

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Iterator

from conversation.ports import LogUnavailable
from kosmosx_stream.access.key_news import Changed, KeyNews
from kosmosx_stream.turns.sessions import Sessions
from metering.authenticator import Authenticator, Principal
from metering.errors import StoreUnavailable
from metering.keys import ExpiredKey, InvalidKey

logger = logging.getLogger(__name__)

Ended = asyncio.Future[InvalidKey]
"""Done when the key has ended; its result says how."""


class _Held:
    """Something that is open for as long as its key is valid."""

    def __init__(self, expires_at: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.ended: Ended = self._loop.create_future()
        self.until(expires_at)

    def until(self, expires_at: float | None) -> None:
        """It ends at this time, in Unix seconds."""
        self.release()
        if expires_at is not None:
            left_s = max(0.0, expires_at - time.time())
            self._timer = self._loop.call_later(left_s, self.end, ExpiredKey())

    def end(self, how: InvalidKey) -> None:
        if not self.ended.done():
            self.ended.set_result(how)

    def release(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class KeyWatch:
    """Knows what is open here, by key."""

    def __init__(
        self, authenticator: Authenticator, news: KeyNews, sessions: Sessions, *, check_s: float
    ) -> None:
        """`check_s`: how often everything is looked up that is open."""
        self._authenticator = authenticator
        self._news = news
        self._sessions = sessions
        self._check_s = check_s
        self._held: defaultdict[Changed, set[_Held]] = defaultdict(set)

    @contextlib.contextmanager
    def watch(self, principal: Principal) -> Iterator[Ended]:
        """Learn of the end of the caller's key, for as long as this lasts."""
        holder = Changed(principal.account_id, principal.key_id)
        held = _Held(principal.expires_at)
        self._held[holder].add(held)
        try:
            yield held.ended
        finally:
            held.release()
            self._held[holder].discard(held)
            if not self._held[holder]:
                del self._held[holder]

    async def changed(self, account_id: str, key_id: str | None) -> None:
        """A key, or without one the account itself, was changed in the books."""
        changed = Changed(account_id, key_id)
        self._authenticator.forget(account_id, key_id)
        try:
            await self._news.tell(changed)
        except LogUnavailable:
            logger.warning("other servers find out about %s when they look it up", changed)
            await self._look_up(changed)

    async def run(self) -> None:
        """Hear of changes, and look up what is open, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hear())
            tasks.create_task(self._look_up_often())

    async def _hear(self) -> None:
        async for changed in self._news.hear():
            if changed is None:
                await self._look_up_all()
            else:
                self._authenticator.forget(changed.account_id, changed.key_id)
                await self._look_up(changed)

    async def _look_up_often(self) -> None:
        while True:
            await asyncio.sleep(self._check_s)
            await self._look_up_all()

    async def _look_up_all(self) -> None:
        for holder in self._open():
            await self._confirm(holder)

    async def _look_up(self, changed: Changed) -> None:
        for holder in self._open():
            same_key = changed.key_id in {None, holder.key_id}
            if same_key and holder.account_id == changed.account_id:
                await self._confirm(holder)

    def _open(self) -> set[Changed]:
        opened = (Changed(*opener) for opener in self._sessions.openers())
        return {*self._held, *opened}

    async def _confirm(self, holder: Changed) -> None:
        principal = Principal(holder.account_id, holder.key_id)
        try:
            now = await self._authenticator.confirm(principal)
        except ExpiredKey as error:
            # Its sessions close as those do that nobody is connected to, unless another key comes.
            self._end(holder, error)
        except InvalidKey as error:
            self._end(holder, error)
            self._sessions.revoke(holder.account_id, holder.key_id)
        except StoreUnavailable:
            return  # Who was let in stays in meanwhile.
        except Exception:
            logger.exception("could not look up %s", holder)
        else:
            if holder.key_id is not None:
                for held in self._held.get(holder, ()):
                    held.until(now.expires_at)

    def _end(self, holder: Changed, how: InvalidKey) -> None:
        for held in list(self._held.get(holder, ())):
            held.end(how)
