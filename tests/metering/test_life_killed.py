"""Whoever is killed at a commit point on Supabase leaves what another one brings to one bill."""

import asyncio
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from metering.budgets import Budget
from metering.dispatcher import LEASE_S
from metering.supabase.store import open_supabase
from tests.metering.life_process import live
from tests.metering.stores import furnish
from tests.stripe_standin.account import NOW, business
from tests.stripe_standin.server import StandinServer
from tests.supabase.project import SupabaseProject

ROOT = Path(__file__).parents[2]
UNITS = {"tokens": 132, "images": 1}
COST = 132 * 200 + 500_000


async def survives(project: SupabaseProject, server: StandinServer, edge: int) -> bool:
    """Kill one at this edge, and let another one go on; whether the first got to its end."""
    project.reset()
    store = await open_supabase(project.url, project.service_key, timeout_s=60)
    await furnish(store)
    await store.budgets.set_budget(
        Budget(account_id="acct_1", limit_micro_usd=10 * COST, hard=True)
    )
    with business(server) as shop:
        await store.outbox.link_customer("acct_1", shop.customer_id, NOW)
        process = await asyncio.to_thread(
            subprocess.run,
            [
                sys.executable, "-m", "tests.metering.life_process",
                project.url, project.service_key, server.url, str(NOW), str(edge),
            ],
            cwd=ROOT,
            check=False,
            timeout=120,
        )  # fmt: skip
        assert process.returncode in {0, -9}
        shop.clock.now += LEASE_S
        await live(store, server.url, shop.clock.now)
        billed = shop.stripe.meters.accepted()
    session = await store.ledger.session("acct_1", "sess_life")
    assert session.receipt is not None
    assert session.receipt.total_usd == "0.5264"
    rows = await store.ledger.rows("acct_1", "sess_life")
    assert {row.meter: row.billable_units for row in rows} == UNITS
    owed = await store.outbox.rows("acct_1", "sess_life")
    assert {row.meter: row.units for row in owed} == UNITS
    assert {row.state for row in owed} == {"accepted"}
    assert billed == sum(UNITS.values())
    left = await store.budgets.standing("acct_1", NOW)
    assert left is not None
    assert (left.spent_micro_usd, left.held_micro_usd) == (COST, 0)
    await store.close()
    return process.returncode == 0


# The turn is in the ledger, and nobody was told; each call before it has two edges.
@pytest.mark.parametrize("edge", [5])
async def test_a_kill_between_the_ledgers_commit_and_its_answer(
    supabase: SupabaseProject, stripe_server: StandinServer, edge: int
) -> None:
    assert not await survives(supabase, stripe_server, edge)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("project", ["supabase", "supabase_on_postgres"])
async def test_a_kill_at_any_commit_point(
    request: pytest.FixtureRequest, stripe_server: StandinServer, project: str
) -> None:
    made: SupabaseProject = request.getfixturevalue(project)
    for edge in count():
        if await survives(made, stripe_server, edge):
            break
    assert edge >= 18
