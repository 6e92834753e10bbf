"""The examples of README and docs do what they say, as they stand there; links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server_process import ServerProcess

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


CLIENT, *LATER = blocks(README, "python")
"""The first makes the client and streams; the others, on every page, go on from it."""
for _page in PAGES[1:]:
    LATER += blocks(_page, "python")


def aimed_at(server: ServerProcess, example: str) -> str:
    """The example for this server and its key."""
    example = example.replace("http://127.0.0.1:8000", server.base_url)
    return example.replace("kx_live_...", server.key)


@pytest.mark.parametrize("example", LATER, ids=range(len(LATER)))
def test_python_examples(server: ServerProcess, example: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore::DeprecationWarning",
            "-c",
            aimed_at(server, CLIENT + example),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) > 20


def test_curl_examples(server: ServerProcess) -> None:
    """The first speaks Responses, the second Chat Completions."""
    (examples,) = [block for block in blocks(README, "console") if block.startswith("$ curl -N")]
    for command, end in zip(
        examples.removeprefix("$ ").split("\n$ "),
        ("event: response.completed", "data: [DONE]"),
        strict=True,
    ):
        assert end in said_by(server, command)


def said_by(server: ServerProcess, example: str) -> str:
    command = aimed_at(server, example)
    done = subprocess.run(
        ["bash", "-c", command],
        env={"KEY": server.key, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, fragment in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", page.read_text()):
        linked = page if not target else (page.parent / target)
        assert linked.exists(), target
        if fragment:
            assert fragment in anchors(linked), f"{target}#{fragment}"


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
