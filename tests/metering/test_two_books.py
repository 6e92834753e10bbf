"""Whatever happens to them, the books in SQLite and those in Supabase tell the same.

Budgets, segments and verdicts are reckoned in Python for the one, and in SQL for the other.
"""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.budgets import Budget, BudgetSpent
from metering.errors import SessionClosed
from metering.outbox import HOUR_S, OutboxRow
from metering.sqlite.store import open_sqlite
from metering.store import Store
from metering.supabase.store import open_supabase
from metering.usage import ledger_rows
from tests.metering.samples import BOOK, turn
from tests.metering.stores import furnish
from tests.supabase.project import SupabaseProject

SESSIONS = ("sess_1", "sess_2", "sess_3")
BOOKS = (
    BOOK,
    msgspec.structs.replace(BOOK, version="2026-12-01", token_micro_usd=201, detection_micro_usd=7),
    msgspec.structs.replace(BOOK, tier="fallback", token_micro_usd=20, detection_micro_usd=3),
)

responses = st.integers(0, 7).map("resp_{}".format)
money = st.integers(0, 100_000)
sessions = st.sampled_from(SESSIONS)
deeds = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([0.5, 60, HOUR_S, 3 * HOUR_S, 86400, 30 * 86400])),
    st.tuples(st.just("budget"), money, st.booleans(), money),
    st.tuples(st.just("hold"), responses, money, money, st.booleans()),
    st.tuples(st.just("release"), responses),
    st.tuples(
        st.just("turn"), responses, sessions, st.integers(1, 400), st.integers(0, 2),
        st.integers(0, 2), st.sampled_from(BOOKS),
    ),
    st.tuples(st.just("close"), sessions),
    st.tuples(st.just("cut")),
    st.tuples(st.just("send"), st.sampled_from(["accept", "refused", "unanswered", "bury"])),
    st.tuples(st.just("age")),
    st.tuples(st.just("reconcile"), st.integers(-150, 150)),
)  # fmt: skip
histories = st.lists(deeds, min_size=4, max_size=25)


class Books:
    """One store, and what is done to it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = 1_795_000_000.0

    async def open(self) -> None:
        await furnish(self.store)
        for session_id in SESSIONS[1:]:
            await self.store.ledger.open_session(session_id, "acct_1", None, 10.0)
        await self.store.outbox.link_customer("acct_1", "cus_1", 10.0)

    async def do(self, name: str, *given: Any) -> object:
        """What it said to that."""
        try:
            return await getattr(self, name)(*given)
        except BudgetSpent as spent:
            return spent.standing
        except SessionClosed:
            return "closed"

    async def wait(self, seconds: float) -> None:
        self.now += seconds

    async def budget(self, limit: int, hard: int, fallback: int) -> None:
        await self.store.budgets.set_budget(
            Budget(
                account_id="acct_1",
                limit_micro_usd=limit,
                hard=bool(hard),
                fallback_micro_usd=fallback,
            )
        )

    async def hold(self, response_id: str, least: int, more: int, fallback: int) -> object:
        return await self.store.budgets.hold(
            "acct_1", response_id, least_micro_usd=least, most_micro_usd=least + more,
            at=self.now, until=self.now + HOUR_S, fallback=bool(fallback),
        )  # fmt: skip

    async def release(self, response_id: str) -> None:
        await self.store.budgets.release(response_id)

    async def turn(self, response_id: str, session_id: str, tokens: int, *more: Any) -> object:
        images, detections, book = more
        usage = turn(
            response_id, session_id=session_id, input_tokens=tokens, cached_tokens=0,
            images=images, detections=detections, at=self.now,
        )  # fmt: skip
        return await self.store.ledger.record_turn(usage, ledger_rows(usage, book))

    async def close(self, session_id: str) -> object:
        return await self.store.ledger.close_session("acct_1", session_id, self.now, "client")

    async def cut(self) -> int:
        return await self.store.ledger.cut_segments(self.now)

    async def send(self, answer: str) -> object:
        outbox, now = self.store.outbox, self.now
        claimed = await outbox.claim(now, lease_s=60, limit=2, abreast=2)
        for row in claimed:
            match answer:
                case "accept":
                    await outbox.accept(row.id, now)
                case "bury":
                    await outbox.bury(row.id, now, "no")
                case _:
                    refused = answer == "refused"
                    await outbox.postpone(row, now, until=now + 5, note=answer, refused=refused)
        return sorted(claimed, key=_id)

    async def age(self) -> object:
        return await self.store.outbox.age(self.now)

    async def reconcile(self, difference: int) -> object:
        verdicts = []
        for hour in await self.store.outbox.unreconciled(self.now, limit=10):
            first = await self.store.outbox.reconcile(hour, -1, self.now)
            found = max(0, first.expected + difference)
            verdicts += [first, await self.store.outbox.reconcile(hour, found, self.now)]
        return verdicts

    async def told(self) -> dict[str, object]:
        """All that can be asked of it."""
        store = self.store
        told: dict[str, object] = {
            "standing": await store.budgets.standing("acct_1", self.now),
            "spent": await store.budgets.spent("acct_1", self.now),
            "health": await store.outbox.health(),
            "attention": sorted(await store.outbox.attention(), key=_id),
        }
        for each in SESSIONS:
            told[each] = (
                await store.ledger.session("acct_1", each),
                await store.ledger.session_usage("acct_1", each),
                await store.ledger.rows("acct_1", each),
                await store.outbox.rows("acct_1", each),
            )
        return told


def _id(row: OutboxRow) -> str:
    return row.id


async def live_through(history: list[tuple[Any, ...]], project: SupabaseProject) -> None:
    project.reset()
    with TemporaryDirectory() as folder:
        both = [
            Books(await open_sqlite(Path(folder) / "books.db")),
            Books(await open_supabase(project.url, project.service_key, timeout_s=60)),
        ]
        try:
            for books in both:
                await books.open()
            for deed in history:
                first, second = [await books.do(*deed) for books in both]
                assert first == second, deed
            first, second = [await books.told() for books in both]
            assert first == second
        finally:
            for books in both:
                await books.store.close()


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_they_live_through_short_histories_alike(supabase: SupabaseProject) -> None:
    @settings(max_examples=6)
    @given(histories)
    def tried(history: list[tuple[Any, ...]]) -> None:
        run(live_through(history, supabase))

    tried()


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("project", ["supabase", "supabase_on_postgres"])
def test_they_live_through_any_history_alike(request: pytest.FixtureRequest, project: str) -> None:
    made: SupabaseProject = request.getfixturevalue(project)

    @settings(max_examples=150)
    @given(histories)
    def tried(history: list[tuple[Any, ...]]) -> None:
        run(live_through(history, made))

    tried()
