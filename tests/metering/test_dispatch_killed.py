"""A dispatcher that is killed at any statement leaves nothing that another one bills twice."""

import asyncio
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from metering.dispatcher import LEASE_S
from metering.sqlite.store import open_sqlite
from tests.metering.billing import billing
from tests.metering.stores import furnish
from tests.stripe_standin.account import NOW, business
from tests.stripe_standin.server import StandinServer

ROOT = Path(__file__).parents[2]


async def survives(folder: Path, server: StandinServer, statement: int) -> bool:
    """Kill one at this statement, and let another one go on; whether the first got to its end."""
    path = folder / f"metering_{statement}.db"
    with business(server) as shop:
        store = await open_sqlite(path)
        await furnish(store)
        async with billing(store, shop) as owing:
            await owing.use("resp_1")
            process = await asyncio.to_thread(
                subprocess.run,
                [
                    sys.executable, "-m", "tests.metering.dispatch_process",
                    str(path), server.url, str(NOW), str(statement),
                ],
                cwd=ROOT,
                check=False,
                timeout=120,
            )  # fmt: skip
            assert owing.accepted in {0, 132}
            shop.clock.now += LEASE_S
            await owing.dispatcher.round()
            assert (await owing.row("resp_1")).state == "accepted"
            assert owing.accepted == 132
        await store.close()
    return process.returncode == 0


# Giving up takes four statements, then come the claim and, after the call, its answer.
@pytest.mark.parametrize("statement", [5])
async def test_a_kill_between_stripes_answer_and_its_record(
    tmp_path: Path, stripe_server: StandinServer, statement: int
) -> None:
    assert not await survives(tmp_path, stripe_server, statement)


@pytest.mark.slow
async def test_a_kill_at_any_statement(tmp_path: Path, stripe_server: StandinServer) -> None:
    for statement in count():
        if await survives(tmp_path, stripe_server, statement):
            break
    assert statement == 7
