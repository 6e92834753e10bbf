"""A short campaign, and the proof that the oracle would have noticed.

`make chaos` runs a long one; the slow tests break more rules.
"""

import asyncio
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.campaign import READERS, Campaign
from tests.chaos.faults import FAULTS
from tests.chaos.reader import SILENCE_S
from tests.chaos.strike import Fault, Strike
from tests.chaos.world import World

SEED = 20_261_121
STRIKES = len(FAULTS)
"""Each fault once."""


@pytest.mark.timeout(900)
async def test_every_token_once_whatever_is_killed(tmp_path: Path) -> None:
    report = await Campaign(tmp_path, seed=SEED).run(STRIKES)
    verdict = report.verdict
    assert verdict.clean, "\n".join(map(str, (report.seed, *verdict.findings)))
    assert set(report.struck) == set(FAULTS)
    assert STRIKES >= 30
    # How much is said meanwhile, and how often a turn is lost, depends on how busy the machine is.
    assert verdict.answers > READERS
    assert verdict.given_up < verdict.answers / 3


async def forget_writes(world: World, _strike: Strike) -> None:
    """The store acknowledges what it does not write down, and is killed."""
    await asyncio.to_thread(world.store.configure, appendonly="no")
    await asyncio.sleep(0.5)
    await asyncio.to_thread(world.store.valkey.kill)
    await asyncio.to_thread(world.store.valkey.start)


async def make_zombies(world: World, strike: Strike) -> None:
    """A server that is at work sleeps until others have taken over, and wakes up."""
    node = strike.rng.choice(world.nodes)
    await asyncio.sleep(SILENCE_S / 2)  # The readers of the last one come back.
    async with strike.on(node):
        node.signal(signal.SIGSTOP)
        await asyncio.sleep(2.5 * world.lease_ttl_s)
        node.signal(signal.SIGCONT)


@dataclass(frozen=True)
class Control:
    """A broken rule, the fault that brings it to light, and what is found then."""

    rule: str
    fault: str | Fault
    findings: str
    options: dict[str, Any] = field(default_factory=dict)


CONTROLS = [
    Control("no_fencing", make_zombies, "mismatches unsettled", {"at_once": 1}),
    Control("hidden_retries", "lost replies, server to store", "mismatches"),
    Control("early_delivery", "partition, server to store", "mismatches", {"sampled": True}),
    Control("naive_resume", "kill -9 server", "mismatches broken"),
    Control("no_settlement", "cut, clients to server", "bill_differences"),
    Control("double_billing", "kill -9 server, settled", "bill_differences"),
    Control("", forget_writes, "broken"),
    Control("", "cut, clients to server", "duplicated", {"forgetful": True}),
]
QUICK = {"duplicated"}
STRIKES_OF_A_CONTROL = 6


@pytest.mark.parametrize(
    "control",
    [
        pytest.param(
            control,
            id=control.rule or control.findings,
            marks=() if control.findings in QUICK else pytest.mark.slow,
        )
        for control in CONTROLS
    ],
)
async def test_the_oracle_notices(control: Control, tmp_path: Path) -> None:
    fault = FAULTS[control.fault] if isinstance(control.fault, str) else control.fault
    campaign = Campaign(
        tmp_path,
        seed=SEED,
        faults={"fault": fault},
        settle_s=5,
        patience_s=60,
        environment={"CHAOS_BREAK": control.rule},
        **control.options,
    )
    verdict = (await campaign.run(STRIKES_OF_A_CONTROL)).verdict
    assert any(verdict.faults[name] for name in control.findings.split()), verdict


SLOW_FSYNC = Path(__file__).with_name("slow_fsync.c")
FSYNC_EVERY_S = 1.0


@pytest.fixture
def slow_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A flag: the disk of processes that are started from now on is slow while it is there."""
    library, flag = tmp_path / "slow_fsync.so", tmp_path / "disk is slow"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, SLOW_FSYNC], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("SLOW_FSYNC", str(flag))
    return flag


@pytest.mark.slow
async def test_the_oracle_notices_a_store_that_acknowledges_too_early(
    tmp_path: Path, slow_disk: Path
) -> None:
    """`appendfsync everysec`, a slow disk, and a kill -9: seconds of delivered tokens are gone."""

    async def acknowledge_early(world: World, _strike: Strike) -> None:
        await asyncio.to_thread(world.store.configure, appendfsync="everysec")
        slow_disk.touch()  # noqa: ASYNC240 - a moment
        await asyncio.sleep(2.5 * FSYNC_EVERY_S)
        await asyncio.to_thread(world.store.valkey.kill)
        slow_disk.unlink()  # noqa: ASYNC240
        await asyncio.to_thread(world.store.valkey.start)

    folder = tmp_path / "world"
    folder.mkdir()
    faults = {"acknowledge early": acknowledge_early}
    campaign = Campaign(folder, seed=SEED, faults=faults, at_once=1, settle_s=5, patience_s=15)
    verdict = (await campaign.run(STRIKES_OF_A_CONTROL)).verdict
    assert verdict.mismatches > 0, verdict
