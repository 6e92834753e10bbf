"""A short campaign, and the proof that the oracle would have noticed.

`make chaos` runs a long one; the slow tests break more rules.
"""

import asyncio
import random
from pathlib import Path

import pytest

from tests.chaos.campaign import Campaign
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.world import World

SEED = 20_261_121
STRIKES = 10


async def test_every_token_once_whatever_is_killed(tmp_path: Path) -> None:
    report = await Campaign(tmp_path, seed=SEED).run(STRIKES)
    assert report.verdict.clean, (report.seed, report.verdict.findings)
    assert report.verdict.answers > STRIKES
    assert report.faults.total() == STRIKES


async def forget_log(world: World, _rng: random.Random) -> None:
    """The store is killed, and comes back empty."""
    await asyncio.to_thread(world.valkey.kill)
    world.valkey.forget()
    await asyncio.to_thread(world.valkey.start)


CONTROLS: dict[str, tuple[str, dict[str, Fault], str]] = {
    "no fencing": ("fencing", {"freeze": FAULTS["freeze server"]}, "mismatches"),
    "nothing is settled": ("settlement", {"cut": FAULTS["cut clients"]}, "bill_differences"),
    "the log is lost": ("", {"forget": forget_log}, "broken"),
}


@pytest.mark.parametrize(
    "control",
    [
        pytest.param(control, marks=() if control == "no fencing" else pytest.mark.slow)
        for control in CONTROLS
    ],
)
async def test_the_oracle_notices(control: str, tmp_path: Path) -> None:
    rule, faults, field = CONTROLS[control]
    campaign = Campaign(
        tmp_path, seed=SEED, faults=faults, environment={"CHAOS_BREAK": rule} if rule else {}
    )
    verdict = (await campaign.run(4)).verdict
    assert getattr(verdict, field) > 0, verdict


@pytest.mark.slow
async def test_the_oracle_notices_a_forgetful_client(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, seed=SEED, faults={"cut": FAULTS["cut clients"]}, forgetful=True)
    assert (await campaign.run(4)).verdict.duplicated > 0
