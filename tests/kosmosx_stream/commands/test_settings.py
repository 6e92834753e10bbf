"""`kosmosx settings`, and the reference that it writes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kosmosx_stream.cli import app
from kosmosx_stream.commands.settings import all_settings, reference

DOCS = Path(__file__).parents[3] / "docs"


def test_the_reference_is_that_of_the_settings() -> None:
    assert (DOCS / "configuration.md").read_text() == reference(), (
        "Write it anew: kosmosx settings --markdown > docs/configuration.md"
    )


def test_every_setting_says_what_it_means() -> None:
    assert [each.variable for each in all_settings() if len(each.meaning) < 15] == []


def test_what_is_set_is_shown_and_secrets_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOSMOSX_PORT", "9001")
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2@store")
    monkeypatch.setenv("KOSMOSX_ALLOWED_ORIGINS", "https://a.example, https://b.example")
    shown = CliRunner().invoke(app, ["settings"]).output
    assert "set KOSMOSX_PORT=9001" in shown
    assert "hunter2" not in shown
    values = json.loads(CliRunner().invoke(app, ["settings", "--json"]).output)
    assert values["KOSMOSX_ALLOWED_ORIGINS"] == "https://a.example,https://b.example"
    assert values["KOSMOSX_HOST"] == "127.0.0.1"
    assert "hunter2" not in str(values)
