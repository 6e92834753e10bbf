"""The page's pure modules, under Node's own test runner."""

import re
import subprocess
from pathlib import Path

import playwright
import pytest

import web_demo
from kosmosx_stream.protocol import errors

HERE = Path(__file__).parent

NODE = Path(playwright.__file__).parent / "driver" / "node"
"""Playwright brings its own Node.js, so nobody has to install one."""


@pytest.mark.parametrize("file", sorted(HERE.glob("*.test.mjs")), ids=lambda file: file.name)
def test_module(file: Path) -> None:
    done = subprocess.run(
        [NODE, "--test", file], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_error_that_has_words_exists() -> None:
    """Codes of the server are listed in one place; the page has one of its own."""
    words = (web_demo.FOLDER / "words.js").read_text()
    table = words.partition("const ERRORS = {")[2].partition("};")[0]
    codes = set(re.findall(r"^\t(\w+):", table, re.MULTILINE))
    known = set(re.findall(r"\w+", errors.__doc__ or ""))
    assert codes - known == {"server_unreachable"}
