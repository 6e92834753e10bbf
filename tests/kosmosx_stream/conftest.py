"""Whatever a test is about: all that its clients are told is held to the documents."""

from collections.abc import Iterator

import pytest

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
