"""The key that a new data folder gets, unless it is to get none."""

import sqlite3
import subprocess
from pathlib import Path

from tests.server_process import KOSMOSX, ServerProcess


def test_the_first_key_is_printed_with_what_to_do(wordy_server: ServerProcess) -> None:
    said = wordy_server.output()
    assert f"{wordy_server.base_url}/#key={wordy_server.key}" in said
    assert f"curl -N {wordy_server.base_url}/v1/responses" in said


def test_a_first_key_that_is_no_good_any_more_is_not_printed(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    process = ServerProcess(folder, KOSMOSX_ENGINE="deterministic")
    process.start()
    key = process.key
    process.stop()
    _, _, key_id, _ = key.split("_", 3)
    subprocess.run([KOSMOSX, "keys", "revoke", key_id, "--data-dir", folder], check=True)
    before = len(process.output())
    process.start()
    process.stop()
    again = process.output()[before:]
    assert "kosmosx keys create" in again
    assert key not in again


def test_a_server_that_shares_its_books_adds_no_account(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    process = ServerProcess(folder, KOSMOSX_ENGINE="deterministic", KOSMOSX_FIRST_KEY="false")
    process.start()
    try:
        said = process.output()
        (accounts,) = sqlite3.connect(process.database).execute("select count(*) from accounts")
    finally:
        process.stop()
    assert f"Page  {process.base_url}/\n" in said
    assert "kosmosx keys create" in said
    assert "kx_live" not in said
    assert not (folder / "first_key").exists()
    assert accounts == (0,)
