"""`kosmosx receipts` where no server was: the other cases are with the bills."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from kosmosx_stream.cli import app


@pytest.mark.parametrize("command", [["key"], ["verify", "receipt.json"]])
def test_a_folder_without_a_server_has_no_key(command: list[str], tmp_path: Path) -> None:
    """Instead of a key that is made there, by which no receipt is good."""
    folder = tmp_path / "elsewhere"
    refused = CliRunner().invoke(app, ["receipts", *command, "--data-dir", str(folder)])
    assert refused.exit_code == 1
    assert f"KOSMOSX_DATA_DIR (--data-dir) is '{folder}'" in refused.output
    assert not folder.exists()
