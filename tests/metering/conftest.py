"""A furnished store of every kind."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from metering.store import Store
from tests.metering.stores import FACTORIES, Factory, furnish


@pytest.fixture(params=FACTORIES)
def factory(request: pytest.FixtureRequest) -> Factory:
    made: Factory = request.param
    return made


@pytest.fixture
async def store(factory: Factory, tmp_path: Path) -> AsyncIterator[Store]:
    """A store with two accounts, a key each, and an open session of the first."""
    made = await factory(tmp_path)
    await furnish(made)
    yield made
    await made.close()
