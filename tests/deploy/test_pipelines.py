"""The pipelines: their form, their rights, and that they run what a person runs."""

import re
from pathlib import Path

import pytest
import yaml

from tests.deploy.tools import ROOT, run_tool

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def test_workflows_fit_their_schema() -> None:
    run_tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)


def test_workflows_give_nothing_away() -> None:
    """Rights, injections, and actions that are not pinned to a commit."""
    run_tool("zizmor", "--offline", "--no-progress", "--quiet", ".github/workflows")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_ends(path: Path) -> None:
    for job in yaml.safe_load(path.read_text())["jobs"].values():
        assert job["timeout-minutes"] <= 90


def test_both_pipelines_run_the_same_scripts() -> None:
    jenkins = (ROOT / "Jenkinsfile").read_text()
    github = "".join(path.read_text() for path in WORKFLOWS)
    for script in (".ci/run", ".ci/images", ".ci/deploy"):
        assert script in jenkins
        assert script in github
        assert (ROOT / script).stat().st_mode & 0o111


def test_scripts_are_shell() -> None:
    for script in (ROOT / ".ci").iterdir():
        assert re.match(r"#!/usr/bin/env bash\n", script.read_text())


def test_every_target_of_the_dockerfile_is_built() -> None:
    built = re.search(r"TARGETS:=([a-z ]+)", (ROOT / ".ci/images").read_text())
    assert built
    targets = re.findall(r"^FROM .* AS ([a-z]+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert set(built[1].split()) == set(targets) - {"build", "run"}
