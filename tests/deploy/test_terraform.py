"""The modules that can be tested without a provider, and the form of the rest."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.tools import ROOT

MODULES = sorted(path.name for path in (ROOT / "terraform/modules").iterdir())

needs_terraform = pytest.mark.skipif(
    shutil.which("terraform") is None, reason="terraform is in no package registry"
)


def terraform(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        ["terraform", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_terraform
def test_files_are_formatted() -> None:
    terraform("fmt", "-check", "-recursive", "-diff", folder=ROOT / "terraform")


@needs_terraform
def test_the_plan_computes_and_refuses(tmp_path: Path) -> None:
    folder = shutil.copytree(ROOT / "terraform/modules/plan", tmp_path / "plan")
    terraform("init", "-input=false", folder=folder)
    said = terraform("test", "-json", folder=folder).splitlines()
    summary = next(each for each in map(json.loads, said) if each["type"] == "test_summary")
    assert summary["test_summary"]["status"] == "pass"
    assert summary["test_summary"]["passed"] >= 18


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_what_it_takes_and_gives(module: str) -> None:
    for path in (ROOT / "terraform/modules" / module).glob("*.tf"):
        blocks = re.findall(r'(?ms)^(?:variable|output) ".*?^}', path.read_text())
        assert [block for block in blocks if "\n  description" not in block] == []


def test_the_plan_knows_no_provider() -> None:
    for path in (ROOT / "terraform/modules/plan").glob("*.tf"):
        assert "required_providers" not in path.read_text()


@pytest.mark.parametrize("module", MODULES)
def test_the_example_uses_every_module(module: str) -> None:
    example = (ROOT / "terraform/examples/complete/main.tf").read_text()
    assert f'"../../modules/{module}"' in example
