"""The README's examples do what it says, as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server_process import ServerProcess

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def aimed_at(server: ServerProcess, example: str) -> str:
    """The example for this server and its key."""
    example = example.replace("http://127.0.0.1:8000", server.base_url)
    return example.replace("kx_live_...", server.key)


@pytest.mark.parametrize("number", range(1, len(blocks("python"))))
def test_python_examples(server: ServerProcess, number: int) -> None:
    """The first block makes the client and streams; the later ones go on from it."""
    first, later = blocks("python")[0], blocks("python")[number]
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", aimed_at(server, first + later)],
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
    (examples,) = [block for block in blocks("console") if block.startswith("$ curl -N")]
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


def test_names_of_files_are_right() -> None:
    """Every relative link leads somewhere."""
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
