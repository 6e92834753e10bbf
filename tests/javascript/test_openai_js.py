"""The official JavaScript client against the real server, under Node's own test runner."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.node import NODE, node_modules
from tests.server_process import ServerProcess

HERE = Path(__file__).parent


@pytest.mark.parametrize("file", sorted(HERE.glob("*.test.mjs")), ids=lambda file: file.name)
def test_client(wordy_server: ServerProcess, file: Path) -> None:
    assert node_modules(HERE).is_dir()
    done = subprocess.run(
        [NODE, "--test", "--test-timeout=60000", file],
        env=os.environ | {"BASE_URL": wordy_server.base_url, "KEY": wordy_server.key},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
