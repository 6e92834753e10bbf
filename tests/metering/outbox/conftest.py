"""A store in which somebody owes."""

from collections.abc import AsyncIterator

import pytest

from metering.store import Store
from tests.metering.outbox.owing import HOUR
from tests.metering.stores import OpenStore, furnish


@pytest.fixture
async def store(open_store: OpenStore) -> AsyncIterator[Store]:
    """A store with two accounts, the first of them linked, and an open session of each."""
    made = await open_store()
    await furnish(made)
    await made.ledger.open_session("sess_2", "acct_2", None, HOUR)
    await made.outbox.link_customer("acct_1", "cus_1", HOUR)
    yield made
    await made.close()
