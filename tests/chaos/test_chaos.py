"""A short campaign, and the proof that the oracle would have noticed.

`make chaos` runs a long one; the slow tests break more rules.
"""

import asyncio
import json
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from conversation.redis_connection import key
from tests.chaos.campaign import POLL_S, READERS, Campaign
from tests.chaos.faults import FAULTS
from tests.chaos.reader import SILENCE_S, Question
from tests.chaos.strike import Fault, Strike
from tests.chaos.world import World

SEED = 20_261_121
STRIKES = len(FAULTS)
"""Each fault once."""
HALF_SLEPT = 96
"""Tokens of an answer that is far from its end when its owner wakes up."""


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


async def make_zombie(world: World, strike: Strike) -> None:
    """A server that is answering sleeps until another one answers in its place, and wakes up."""
    node = strike.rng.choice(world.nodes)
    headers = {"Authorization": f"Bearer {world.key}"}
    body = Question("Who is there?", HALF_SLEPT).body() | {"stream": True}
    async with strike.on(*world.nodes), httpx.AsyncClient(timeout=SILENCE_S) as http:
        url = f"http://{node.address}/v1/responses"
        async with http.stream("POST", url, headers=headers, json=body) as answer:
            events = (line async for line in answer.aiter_lines() if line.startswith("data: "))
            first = json.loads((await anext(events)).removeprefix("data: "))
            await anext(events)
            node.signal(signal.SIGSTOP)
            await _taken_over(world, first["response"]["id"])
            node.signal(signal.SIGCONT)


async def _taken_over(world: World, response_id: str) -> None:
    async with Redis.from_url(world.store.valkey.url) as redis:
        while await redis.get(key("epoch", response_id)) == b"1":  # noqa: ASYNC110 - theirs
            await asyncio.sleep(POLL_S)


@dataclass(frozen=True)
class Control:
    """A broken rule, the fault that brings it to light, and what is found then."""

    rule: str
    fault: str | Fault
    findings: str
    options: dict[str, Any] = field(default_factory=dict)
    strikes: int = 6


CONTROLS = [
    Control("no_fencing", make_zombie, "unsettled", {"at_once": 1}, strikes=1),
    Control("hidden_retries", "lost replies, server to store", "mismatches"),
    Control("early_delivery", "partition, server to store", "mismatches", {"sampled": True}),
    # At a commit somebody is being answered.
    Control("naive_resume", "kill -9 server, committed", "mismatches broken", {"at_once": 1}),
    Control("no_settlement", "cut, clients to server", "bill_differences"),
    Control("double_billing", "kill -9 server, settled", "bill_differences"),
    Control("", forget_writes, "broken"),
    Control("", "cut, clients to server", "duplicated", {"forgetful": True}),
]
QUICK = {"duplicated"}


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
    verdict = (await campaign.run(control.strikes)).verdict
    assert any(verdict.faults[name] for name in control.findings.split()), verdict


SLOW_FSYNC = Path(__file__).with_name("slow_fsync.c")
JUMPING_CLOCK = Path(__file__).with_name("jumping_clock.c")
FSYNC_EVERY_S = 1.0
CLOCK_JUMP_S = 3600


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
    verdict = (await campaign.run(Control.strikes)).verdict
    # Who comes back is told; who has read to the end is not there to be told.
    told = any("log_regressed" in finding for finding in verdict.findings)
    assert told or verdict.mismatches > 0, verdict


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_the_store_s_own_clock_may_jump(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour ahead, and back: all leases lapse at once, or seem to hold for an hour."""
    library, ahead = tmp_path / "jumping_clock.so", tmp_path / "ahead"
    command = ["cc", "-shared", "-fPIC", "-o", str(library), str(JUMPING_CLOCK), "-ldl"]
    await asyncio.to_thread(subprocess.run, command, check=True)

    async def jump(world: World, strike: Strike) -> None:
        async with strike.on(world.store), Redis.from_url(world.store.valkey.url) as redis:
            before, _ = await redis.time()
            ahead.write_text(str(CLOCK_JUMP_S))
            after, _ = await redis.time()
            assert after - before >= CLOCK_JUMP_S
            await asyncio.sleep(2 * world.lease_ttl_s)
            ahead.write_text("0")

    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("CLOCK_AHEAD", str(ahead))
    world = tmp_path / "world"
    world.mkdir()
    campaign = Campaign(world, seed=SEED, faults={"store's clock jumps": jump}, at_once=1)
    verdict = (await campaign.run(2)).verdict
    assert verdict.clean, verdict
