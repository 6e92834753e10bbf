"""The page's pure modules, under Node's own test runner."""

import subprocess
from pathlib import Path

import playwright
import pytest

import web_demo

HERE = Path(__file__).parent
MAX_PAGE_BYTES = 120_000


NODE = Path(playwright.__file__).parent / "driver" / "node"
"""Playwright brings its own Node.js, so nobody has to install one."""


@pytest.mark.parametrize("file", sorted(HERE.glob("*.test.mjs")), ids=lambda file: file.name)
def test_module(file: Path) -> None:
    done = subprocess.run(
        [NODE, "--test", file], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_page_stays_small() -> None:
    sizes = {
        path.relative_to(web_demo.FOLDER): path.stat().st_size
        for path in web_demo.FOLDER.rglob("*")
        if path.suffix in {".html", ".css", ".js", ".json", ".svg"}
    }
    assert sum(sizes.values()) < MAX_PAGE_BYTES, sizes


def test_page_asks_nobody_else() -> None:
    """Everything it loads is its own: no address of another host but SVG's namespace."""
    for path in web_demo.FOLDER.glob("*"):
        if path.suffix in {".html", ".css", ".js"}:
            text = path.read_text()
            for scheme in ("http://", "https://"):
                for rest in text.split(scheme)[1:]:
                    assert rest.startswith("www.w3.org/2000/svg"), f"{path.name}: {rest[:60]}"
