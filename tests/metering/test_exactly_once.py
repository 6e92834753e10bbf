"""Whatever happens, and in whatever order: what was used is billed once, exactly.

A state machine uses, closes, sends, compares, loses replies, kills itself, sets clocks wrong, and
lets a month pass; at the end everything is left to work, and four sums have to be equal: the
turns', the ledger's, the outbox's, and what stands at Stripe.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import stripe
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from metering.dispatcher import LEASE_S, LONGEST_BACKOFF_S, Dispatcher, Pace
from metering.outbox import HOUR_S, OutboxRow
from metering.reconciler import Reconciler
from metering.sqlite.database import Database
from metering.sqlite.store import sqlite_store
from metering.stripe.client import API_VERSION
from metering.stripe.invoices import StripeInvoices
from metering.stripe.sink import StripeSink
from metering.stripe.summaries import StripeSummaries
from metering.usage import ledger_rows
from tests.metering.samples import BOOK, turn
from tests.metering.stores import furnish as furnish_store
from tests.stripe_standin.account import NOW, furnish
from tests.stripe_standin.app import Fault, StripeStandin
from tests.stripe_standin.server import Clock

DAY_S = 24 * HOUR_S
PASSING = [None, *(fault for fault in Fault if fault is not Fault.INVALID)]
"""All faults but those that only an operator can mend."""


class Killed(BaseException):
    """The process is gone: nothing catches this, nothing is cleaned up."""


class Mortal:
    """A part whose process is killed before or after so many calls of any such part."""

    left: int | None = None
    after = False

    def __init__(self, part: Any) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def call(*args: Any, **options: Any) -> Any:
            doomed = Mortal.left == 0
            if Mortal.left is not None:
                Mortal.left -= 1
            if doomed and not Mortal.after:
                raise Killed
            result = await found(*args, **options)
            if doomed:
                raise Killed
            return result

        return call


class ExactlyOnce(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = TemporaryDirectory()
        self.true = Clock(NOW)
        self.skew = 0.0
        self.used: dict[str, int] = {}
        self.sessions: dict[str, str] = {}
        self.stripe = StripeStandin(self.true)
        self.run(self.open())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def now(self) -> float:
        """Our clock, which may be wrong."""
        return self.true.now + self.skew

    async def open(self) -> None:
        database = await Database.open(Path(self.folder.name) / "metering.db")
        await database.run(lambda db: db.execute("PRAGMA synchronous = OFF"))
        self.store = sqlite_store(database)
        await furnish_store(self.store)
        self.customer_id = furnish(self.stripe)
        http_client = stripe.HTTPXClient(timeout=10)
        transport = httpx.ASGITransport(self.stripe.app())
        self.http = http_client._client_async = httpx.AsyncClient(transport=transport)
        client = stripe.StripeClient(
            self.stripe.key,
            stripe_version=API_VERSION,
            http_client=http_client,
            max_network_retries=0,
        )
        self.outbox = Mortal(self.store.outbox)
        self.sink = Mortal(StripeSink(client))
        self.invoices = Mortal(StripeInvoices(client))
        self.summaries = Mortal(StripeSummaries(client))
        self.start()

    def start(self) -> None:
        """A new process: all that is not in the books is forgotten."""
        self.dispatcher = Dispatcher(self.outbox, self.sink, self.invoices, self.now, Pace())
        self.reconciler = Reconciler(self.outbox, self.summaries, self.now)

    def perhaps_killed(self, work: Coroutine[Any, Any, Any], kill: tuple[int, bool] | None) -> None:
        Mortal.left, Mortal.after = kill or (None, False)
        try:
            with contextlib.suppress(Killed):
                self.run(work)
        except BaseExceptionGroup as group:
            killed, rest = group.split(Killed)
            assert killed is not None
            assert rest is None
        if Mortal.left is not None and Mortal.left < 0:
            self.start()
        Mortal.left = None

    @initialize()
    def link(self) -> None:
        """One account has a customer from the start, the other does not."""
        self.run(self.store.outbox.link_customer("acct_1", self.customer_id, NOW))

    @rule(
        account_id=st.sampled_from(["acct_1", "acct_1", "acct_1", "acct_2"]),
        tokens=st.integers(100, 1000),
        images=st.integers(0, 1),
        ending=st.sampled_from(["closed", "closed", "late", "left open"]),
        again=st.booleans(),
    )
    def use(self, account_id: str, tokens: int, images: int, ending: str, *, again: bool) -> None:
        """A turn in a session of its own; one that is told of late is not on the receipt."""
        number = len(self.used)
        session_id, response_id = f"sess_x{number}", f"resp_x{number}"
        usage = turn(
            response_id,
            session_id=session_id,
            account_id=account_id,
            input_tokens=tokens - 1,
            cached_tokens=0,
            output_tokens=1,
            images=images,
            at=self.now(),
        )
        self.run(self.store.ledger.open_session(session_id, account_id, None, self.now()))
        self.sessions[session_id] = account_id
        if ending == "late":
            self.close(session_id)
        for _ in range(1 + again):
            self.run(self.store.ledger.record_turn(usage, ledger_rows(usage, BOOK)))
        if ending == "closed":
            self.close(session_id)
        self.used[response_id] = tokens + images

    def close(self, session_id: str) -> None:
        account_id = self.sessions[session_id]
        self.run(self.store.ledger.close_session(account_id, session_id, self.now(), "client"))

    def cut(self) -> None:
        self.run(self.store.ledger.cut_segments(self.now()))

    @rule()
    def link_the_other(self) -> None:
        self.run(self.store.outbox.link_customer("acct_2", self.customer_id, self.now()))

    @rule(seconds=st.sampled_from([400, 3 * HOUR_S, 25 * HOUR_S, 36 * DAY_S]))
    def wait(self, seconds: float) -> None:
        self.true.now += seconds

    @rule(seconds=st.sampled_from([-600, 0, 600]))
    def set_clock_wrong(self, seconds: float) -> None:
        self.skew = float(seconds)

    @rule(seconds=st.integers(0, 5400))
    def delay_summaries(self, seconds: int) -> None:
        self.stripe.meters.summary_delay_s = seconds

    kills = st.none() | st.tuples(st.integers(0, 8), st.booleans())

    @rule(
        seconds=st.sampled_from([400, 400, 3 * HOUR_S, 23 * HOUR_S, 25 * HOUR_S]),
        faults=st.lists(st.sampled_from(PASSING), max_size=3),
        kill=kills,
    )
    def dispatch(
        self, seconds: float, faults: list[Fault | None], kill: tuple[int, bool] | None
    ) -> None:
        """What is cut now is sent a while later."""
        self.cut()
        self.wait(seconds)
        self.stripe.faults.extend(faults)
        self.perhaps_killed(self.dispatcher.round(), kill)
        self.stripe.faults.clear()

    @rule()
    def send(self) -> None:
        """Nothing goes wrong for a while."""
        self.dispatch(400, [], None)

    @rule(fault=st.sampled_from([Fault.LOST_REQUEST, Fault.LOST_REPLY, Fault.BROKEN_AFTER]))
    def lose(self, fault: Fault) -> None:
        """An answer is lost."""
        self.dispatch(400, [fault], None)

    @rule(kill=kills)
    def compare(self, kill: tuple[int, bool] | None) -> None:
        self.perhaps_killed(self.reconciler.reconcile(), kill)

    @invariant()
    def nobody_pays_more_than_was_used(self) -> None:
        assert self.billed() <= sum(self.used.values())

    @invariant()
    def nothing_is_wrong_with_what_is_said(self) -> None:
        assert self.stripe.broken_contracts == []

    def billed(self) -> int:
        """Units at Stripe: counted, or on an invoice."""
        described = [
            int(item["description"].split()[0])
            for item in self.stripe.catalog.invoice_items.values()
        ]
        return self.stripe.meters.accepted() + sum(described)

    def rows(self) -> list[OutboxRow]:
        listed = [
            self.run(self.store.outbox.rows(account_id, session_id))
            for session_id, account_id in self.sessions.items()
        ]
        return [row for rows in listed for row in rows]

    def leave_alone(self) -> None:
        """No faults and no kills any more, the clock is right, and two days pass."""
        self.skew = 0.0
        for session_id in self.sessions:
            self.close(session_id)
        self.link_the_other()
        self.cut()
        for _ in range(24):
            self.true.now += 2 * HOUR_S + LONGEST_BACKOFF_S + LEASE_S
            while self.run(self.dispatcher.round()):
                pass
            self.run(self.reconciler.reconcile())

    def teardown(self) -> None:
        try:
            self.leave_alone()
            health = self.run(self.store.outbox.health())
            assert (health.pending, health.ambiguous, health.dead, health.expired) == (0, 0, 0, 0)
            assert (health.unlinked, health.mismatched_hours) == (0, 0)
            ledger = sum(
                row.billable_units
                for session_id, account_id in self.sessions.items()
                for row in self.run(self.store.ledger.rows(account_id, session_id))
            )
            used, owed = sum(self.used.values()), sum(row.units for row in self.rows())
            assert used == ledger == owed == self.billed()
        finally:
            self.run(self.http.aclose())
            self.run(self.store.close())
            self.loop.close()
            self.folder.cleanup()


ExactlyOnce.TestCase.settings = settings(
    max_examples=15,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestExactlyOnce = ExactlyOnce.TestCase
