"""All of it at once: Supabase, Valkey, two servers that are killed, and Stripe. The sums agree."""

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stripe_standin.app import StripeStandin
from tests.stripe_standin.server import StandinServer
from tests.supabase.project import SupabaseProject
from tests.vllm_server import API_KEY, VllmServer
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


@pytest.fixture(params=["deterministic", "shared_vllm", "own_vllm"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What both servers run nano on. An own vLLM starts anew with each kill: 20 s of two cores."""
    if request.param != "shared_vllm":
        yield {"KOSMOSX_ENGINE": request.param.removeprefix("own_")}
        return
    vllm = VllmServer(tmp_path)
    try:
        vllm.wait_until_well()
        yield {
            "KOSMOSX_ENGINE": "remote",
            "KOSMOSX_ENGINE_URLS": vllm.url,
            "KOSMOSX_ENGINE_API_KEY": API_KEY,
        }
    finally:
        vllm.kill()


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_two_hundred_sessions_cost_the_same_in_every_book(
    tmp_path: Path,
    supabase: SupabaseProject,
    stripe: StripeStandin,
    stripe_server: StandinServer,
    engine: dict[str, str],
) -> None:
    """`WHOLE_VISITS=40` makes it shorter."""
    visits = int(os.environ.get("WHOLE_VISITS", "200"))
    with stripe_server.serving(stripe):
        outcome = await Rush(
            tmp_path,
            supabase,
            stripe,
            stripe_server.url,
            seed=SEED,
            visits=visits,
            strikes=STRIKES,
            linked=True,
            environment=engine,
        ).run()
    judge(outcome, visits=visits)
    # Of fewer visits the one that leaves may be reading an answer that was over before.
    fates = {turn.fate for visit in outcome.visits for turn in visit.turns if turn.over}
    assert fates == {"read", "cancel", "drop", "leave"}


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
    assert all(strike.began is not None for strike in outcome.strikes), outcome
