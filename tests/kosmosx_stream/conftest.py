"""Whatever a test is about: all that its clients are told is held to the documents."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from conversation.items import Conversation
from kosmosx_stream.turns import adoption
from metering.accounts import Account
from metering.sqlite.store import open_sqlite
from tests.kosmosx_stream.instances import Cluster
from tests.kosmosx_stream.judge import Judge
from tests.kosmosx_stream.witness import witness


@pytest.fixture(scope="session")
def judge() -> Iterator[Judge]:
    """The judge of what this process's clients receive."""
    judge = Judge()
    with pytest.MonkeyPatch.context() as patch:
        witness(judge, patch)
        yield judge


@pytest.fixture(autouse=True)
def documented(judge: Judge) -> Iterator[None]:
    """Fail the test in which the server said what no document allows."""
    yield
    faults, judge.faults = judge.faults, []
    assert not faults, "\n".join(faults[:5])


@pytest.fixture
async def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    monkeypatch.setattr(adoption, "SECOND_LOOK_S", 0)  # Its clock is turned by hand.
    store = await open_sqlite(tmp_path / "books.db")
    await store.accounts.create_account(Account(id="acct", name="", created_at=0))
    await store.ledger.open_session("sess", "acct", None, 0)
    yield Cluster(store)
    await store.close()


@pytest.fixture
async def conversing(cluster: Cluster) -> Cluster:
    conversation = Conversation(id="conv", account_id="acct", created_at=0, metadata={})
    await cluster.history.create_conversation(conversation)
    return cluster
