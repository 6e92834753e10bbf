"""A furnished store of every kind, and a stand-in for Stripe."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from metering.store import Store
from tests.metering.stores import ADAPTERS, OpenStore, furnish, in_files, in_project
from tests.stripe_standin.account import Business, business
from tests.stripe_standin.server import StandinServer


@pytest.fixture(params=ADAPTERS)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> OpenStore:
    """Tests that use this, or `store`, run on every adapter."""
    if request.param == "sqlite":
        return in_files(tmp_path)
    return in_project(request.getfixturevalue(request.param))


@pytest.fixture
async def store(open_store: OpenStore) -> AsyncIterator[Store]:
    """A store with two accounts, a key each, and an open session of the first."""
    made = await open_store()
    await furnish(made)
    yield made
    await made.close()


@pytest.fixture
def shop(stripe_server: StandinServer) -> Iterator[Business]:
    with business(stripe_server) as made:
        yield made
