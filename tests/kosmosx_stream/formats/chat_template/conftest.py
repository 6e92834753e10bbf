import pytest

from tests.kosmosx_stream.formats.chat_template import families


@pytest.fixture(scope="session", autouse=True)
def _families(tmp_path_factory: pytest.TempPathFactory) -> None:
    families.FOLDER = tmp_path_factory.mktemp("families")
