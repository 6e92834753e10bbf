"""The page's pure modules, under Node's own test runner."""

import subprocess
from pathlib import Path

import playwright
import pytest

HERE = Path(__file__).parent

NODE = Path(playwright.__file__).parent / "driver" / "node"
"""Playwright brings its own Node.js, so nobody has to install one."""


@pytest.mark.parametrize("file", sorted(HERE.glob("*.test.mjs")), ids=lambda file: file.name)
def test_module(file: Path) -> None:
    done = subprocess.run(
        [NODE, "--test", file], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
