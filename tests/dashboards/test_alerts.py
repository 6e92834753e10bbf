"""Each alert fires and keeps quiet as it should, and leads to a page that says what to do."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.boards import expressions
from tests.dashboards.expressions import ALERTS, ROOT, RULES, TARGET_LABELS, labels_named
from tests.dashboards.prometheus import run_promtool

PAGES = ROOT / "docs/runbooks"
FOUND_AT = "https://github.com/example/kosmosx-stream/blob/main/docs/runbooks/"
SECTIONS = ["What it means to users", "How to look", "What to do", "How to know that it is over"]
CASES = sorted(Path(__file__).parent.glob("*.test.yaml"))
ALERTING = [rule for rule in RULES if "alert" in rule]
NAMES = [rule["alert"] for rule in ALERTING]

every_rule = pytest.mark.parametrize("rule", ALERTING, ids=NAMES)


@pytest.mark.parametrize("name", ALERTS)
def test_prometheus_takes_the_rules(name: str) -> None:
    run_promtool("check", "rules", ROOT / f"dashboards/{name}.yaml")


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should(case: Path) -> None:
    run_promtool("test", "rules", case)


def test_each_alert_is_seen_firing_and_quiet() -> None:
    """A case tells all that fires at a moment; where one fires at one, it is quiet at another."""
    firing, quiet = set(), set()
    for case in CASES:
        for block in yaml.safe_load(case.read_text())["tests"]:
            moments = [fired(test) for test in block["promql_expr_test"]]
            seen = set().union(*moments)
            firing |= seen
            quiet |= {alert for alert in seen if any(alert not in moment for moment in moments)}
    assert firing == quiet == {(rule["alert"], rule["labels"]["severity"]) for rule in ALERTING}


def fired(test: dict[str, Any]) -> set[tuple[str, str]]:
    """Alerts and their severities."""
    assert "ALERTS" in test["expr"]
    return {
        (labels["alertname"], labels["severity"])
        for labels in (
            dict(re.findall(r'(\w+)="(\w+)"', sample["labels"])) for sample in test["exp_samples"]
        )
    }


@every_rule
def test_an_alert_leads_to_its_runbook(rule: dict[str, Any]) -> None:
    address = rule["annotations"]["runbook_url"]
    assert address.startswith(FOUND_AT)
    page = (PAGES / address.removeprefix(FOUND_AT)).read_text()
    assert f"Alert `{rule['alert']}`, {rule['labels']['severity']}" in page or (
        NAMES.count(rule["alert"]) > 1 and f"Alert `{rule['alert']}`" in page
    )


@every_rule
def test_an_alert_says_what_it_knows(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url"}
    told = set(re.findall(r"\$labels\.(\w+)", annotations["description"]))
    assert told <= labels_named(rule["expr"]) | TARGET_LABELS


@pytest.mark.parametrize("page", sorted(PAGES.glob("[!R]*.md")), ids=lambda path: path.stem)
def test_a_runbook_says_what_to_do(page: Path) -> None:
    text = page.read_text()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    assert all(len(part.strip()) > 20 for part in re.split(r"^## .+$", text, flags=re.MULTILINE))
    assert f"({page.name})" in (PAGES / "README.md").read_text(), "it is not in the index"


def test_the_boards_have_the_objectives_of_the_alerts() -> None:
    text = (ROOT / "dashboards/alerts-users.yaml").read_text()
    assert set(re.findall(r'refusals_total{code=~"([^"]+)"', text)) == {expressions.FAULTS}
    assert set(re.findall(r'error_type!~"([^"]+)"', text)) == {expressions.NO_FAULTS}
    for late, bound in (
        (expressions.late_first_tokens, "2.5"),
        (expressions.late_pieces, "0.5"),
    ):
        assert f'le="{bound}"' in text
        assert f'le="{bound}"' in late("1h")
