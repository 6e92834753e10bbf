"""Whoever looks at an account's conversations learns at once that they have changed.

One subscription for the whole server, whatever the number of lookers; see `redis_news.py`.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator

from conversation.redis_news import ConversationNews

MOST_UNREAD = 100
"""News that wait for one looker; whoever is slower is told to look at everything again."""

Unread = asyncio.Queue[ConversationNews | None]
"""What one looker has not heard yet; None: something may have been missed, look at everything."""


class ConversationWatch:
    """Knows who looks on here, by account."""

    def __init__(self, news: AsyncIterator[ConversationNews | None]) -> None:
        self._news = news
        self._lookers: defaultdict[str, set[Unread]] = defaultdict(set)

    @contextlib.contextmanager
    def look(self, account_id: str) -> Iterator[Unread]:
        """Learn of the account's conversations for as long as this lasts, beginning with None."""
        unread: Unread = asyncio.Queue(MOST_UNREAD)
        unread.put_nowait(None)
        self._lookers[account_id].add(unread)
        try:
            yield unread
        finally:
            self._lookers[account_id].discard(unread)
            if not self._lookers[account_id]:
                del self._lookers[account_id]

    async def run(self) -> None:
        """Hear, and pass it on, until cancelled."""
        async for news in self._news:
            if news is not None:
                for unread in self._lookers.get(news.account_id, ()):
                    _put(unread, news)
                continue
            for lookers in self._lookers.values():
                for unread in lookers:
                    _put(unread, None)


def _put(unread: Unread, news: ConversationNews | None) -> None:
    if unread.full():
        while not unread.empty():
            unread.get_nowait()
        news = None
    unread.put_nowait(news)
