"""Who looks on hears of the own account only, and never of less than what happened."""

from collections.abc import AsyncIterator

from conversation.redis_news import ConversationNews
from kosmosx_stream.conversation_watch import MOST_UNREAD, ConversationWatch


async def heard(*news: ConversationNews | None) -> AsyncIterator[ConversationNews | None]:
    for each in news:
        yield each


def changed(number: int, account_id: str = "acct_a") -> ConversationNews:
    return ConversationNews(account_id, f"conv_{number}", "")


async def test_news_reach_those_of_the_account() -> None:
    watch = ConversationWatch(heard(changed(1), changed(2, "acct_b"), None, changed(3)))
    with watch.look("acct_a") as first, watch.look("acct_a") as second:
        await watch.run()
        for unread in (first, second):
            assert [unread.get_nowait() for _ in range(unread.qsize())] == [
                None, changed(1), None, changed(3),
            ]  # fmt: skip


async def test_who_is_slow_looks_at_everything() -> None:
    watch = ConversationWatch(heard(*map(changed, range(MOST_UNREAD + 5))))
    with watch.look("acct_a") as unread:
        await watch.run()
        assert unread.get_nowait() is None
        assert unread.qsize() < MOST_UNREAD
