"""`kosmosx settings`, and the reference that it writes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kosmosx_stream.cli import app
from kosmosx_stream.commands.setting_list import all_settings, unknown
from kosmosx_stream.commands.settings import reference

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


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        (
            "KOSMOSX_PORT",
            "99999",
            "KOSMOSX_PORT: expected whole number from 0 to 65535, got '99999'",
        ),
        ("KOSMOSX_LOG_FORMAT", "xml", "KOSMOSX_LOG_FORMAT: expected text, json, got 'xml'"),
        ("KOSMOSX_ENGINE", "remote", "KOSMOSX_ENGINE_URLS: expected with the engine 'remote'"),
        ("STRIPE_API_KEY", "sk_live_1", "STRIPE_API_KEY: expected a key for test mode"),
        ("KOSMOSX_KEY_PEPPER", "salt", "KOSMOSX_KEY_PEPPER: expected at least 16 bytes"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_the_variables_name(
    variable: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    refused = CliRunner().invoke(app, ["settings"])
    assert refused.exit_code == 2
    assert f"kosmosx: {told}" in refused.output
    assert "sk_live_1" not in refused.output


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Compose has `${NAME:-}`."""
    for each in all_settings():
        monkeypatch.setenv(each.variable, "")
    monkeypatch.setenv("KOSMOSX_PORT", "9001")
    shown = CliRunner().invoke(app, ["settings"]).output
    assert [line for line in shown.splitlines() if line.startswith("set")] == [
        "set KOSMOSX_PORT=9001"
    ]


def test_what_looks_like_a_setting_and_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["PATH", "KOSMOSX_PORT", "KOSMOSX_DATABSE", "KOSMOSX_REDIS_URL", "KOSMOSX_FOO"]
    nothing = "is no setting, and does nothing"
    assert [*unknown(names)] == [
        f"KOSMOSX_DATABSE {nothing}; did you mean KOSMOSX_DATABASE?",
        f"KOSMOSX_FOO {nothing}",
        f"KOSMOSX_REDIS_URL {nothing}; did you mean REDIS_URL?",
    ]
    monkeypatch.setenv("KOSMOSX_DATABSE", "/srv/books.db")
    assert f"kosmosx: KOSMOSX_DATABSE {nothing}" in CliRunner().invoke(app, ["settings"]).output


@pytest.mark.parametrize(
    ("variable", "value"), [("KOSMOSX_DATA_DIR", "/proc/data"), ("KOSMOSX_PRICES", "/proc/p.toml")]
)
def test_a_path_that_cannot_be_is_refused_by_the_variables_name(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    refused = CliRunner().invoke(app, ["serve", "--port", "0"])
    assert refused.exit_code == 1
    assert variable in refused.output
    assert f"is '{value}'" in refused.output
