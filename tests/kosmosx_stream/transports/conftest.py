"""A server without a model whose limits are small enough to be met."""

from collections.abc import Iterator

import pytest

from tests.conftest import mortal
from tests.server_process import ServerProcess

LANES, IN_FLIGHT, WAITING = 3, 2, 2


@pytest.fixture(scope="session")
def narrow_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The process behind `narrow`."""
    yield from mortal(
        tmp_path_factory.mktemp("narrow"),
        KOSMOSX_ENGINE="deterministic",
        KOSMOSX_DETERMINISTIC_RATE="50",
        KOSMOSX_DETERMINISTIC_LENGTH="1000000",
        KOSMOSX_DISCONNECT_GRACE_S="0.2",
        KOSMOSX_MAX_LANES=str(LANES),
        KOSMOSX_MAX_IN_FLIGHT=str(IN_FLIGHT),
        KOSMOSX_MAX_WAITING=str(WAITING),
    )


@pytest.fixture
def narrow(narrow_process: ServerProcess) -> ServerProcess:
    """Few lanes, few in flight, little patience with those who left; answers until they are cut."""
    narrow_process.ensure_running()
    return narrow_process
