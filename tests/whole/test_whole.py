"""All of it at once: Supabase, Valkey, two servers that are killed, and Stripe. The sums agree."""

import logging
import time
from pathlib import Path

import pytest

from tests.stripe_standin.app import StripeStandin
from tests.stripe_standin.server import StandinServer
from tests.supabase.project import SupabaseProject
from tests.whole.rush import Outcome, Rush

logger = logging.getLogger(__name__)

SEED = 20_261_121
STRIKES = (
    "kill -9 server",
    "cut, clients to server",
    "kill -9 server, committed",
    "kill -9 server, to-settle",
    "cut, clients to server",
    "kill -9 both servers",
    "kill -9 server",
    "cut, clients to server",
)


@pytest.fixture
def stripe(stripe_server: StandinServer, supabase: SupabaseProject) -> StripeStandin:
    """A new one, that nobody owes anything yet."""
    supabase.reset()
    return StripeStandin(time.time)


async def test_the_sums_are_equal_whatever_is_killed(
    tmp_path: Path, supabase: SupabaseProject, stripe: StripeStandin, stripe_server: StandinServer
) -> None:
    with stripe_server.serving(stripe):
        outcome = await Rush(
            tmp_path,
            supabase,
            stripe,
            stripe_server.url,
            seed=SEED,
            visits=12,
            strikes=["kill -9 server"],
            linked=False,
            environment={},
        ).run()
    judge(outcome, visits=12)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("engine", ["deterministic", "vllm"])
async def test_two_hundred_sessions_cost_the_same_in_every_book(
    tmp_path: Path,
    supabase: SupabaseProject,
    stripe: StripeStandin,
    stripe_server: StandinServer,
    engine: str,
) -> None:
    with stripe_server.serving(stripe):
        outcome = await Rush(
            tmp_path,
            supabase,
            stripe,
            stripe_server.url,
            seed=SEED,
            visits=200,
            strikes=STRIKES,
            linked=True,
            environment={"KOSMOSX_ENGINE": engine},
        ).run()
    judge(outcome, visits=200)


def judge(outcome: Outcome, *, visits: int) -> None:
    logger.info("%s", outcome)
    sums = outcome.sums
    assert sums["log"] == sums["ledger"] == sums["outbox"] == sums["Stripe"], outcome
    assert sums["log"]["tokens"] > 0
    assert sums["log"]["images"] > 0
    assert outcome.verdict.clean, outcome
    several = {name: each for name, each in outcome.receipts.items() if len(each) != 1}
    assert several == {}, outcome
    assert {row["id"] for row in outcome.books.sessions} == set(outcome.receipts)
    assert len(outcome.receipts) >= visits
    assert len(set(outcome.identifiers)) == len(outcome.identifiers) == len(outcome.books.outbox)
    assert {turn.fate for visit in outcome.visits for turn in visit.turns if turn.over} == {
        "read", "cancel", "drop", "leave"
    }  # fmt: skip
    assert all(strike.began is not None for strike in outcome.strikes), outcome
