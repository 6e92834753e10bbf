"""The rules that the chart ships: those of the repository, and its own of Kubernetes."""

import shutil
from pathlib import Path
from typing import Any

import yaml

from tests.dashboards.prometheus import run_promtool
from tests.deploy.chart import MATRIX, RENDERED, of_kind, rendered
from tests.deploy.tools import ROOT

RUNBOOKS = ROOT / "docs/runbooks"


def groups(manifests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    (rule,) = of_kind(manifests, "PrometheusRule")
    found: list[dict[str, Any]] = rule["spec"]["groups"]
    return found


def test_all_rules_of_the_repository_are_there() -> None:
    own, *shipped = groups(RENDERED["watched"])
    assert own["name"].endswith(".kubernetes")
    files = sorted((ROOT / "dashboards").glob("alerts*.yaml"))
    assert shipped == [
        group for path in files for group in yaml.safe_load(path.read_text())["groups"]
    ]


def test_every_alert_leads_to_a_page() -> None:
    for group in groups(RENDERED["watched"]):
        for rule in group["rules"]:
            if "alert" in rule:
                page = RUNBOOKS / rule["annotations"]["runbook_url"].rpartition("/")[2]
                assert f"Alert `{rule['alert']}`" in page.read_text()


def test_pages_may_be_elsewhere() -> None:
    values = MATRIX["watched"]
    monitoring = {
        **values["monitoring"],
        "prometheusRule": {"enabled": True, "runbooks": "https://wiki.example.org/kosmosx/"},
    }
    manifests = rendered({**values, "monitoring": monitoring})
    addresses = {
        rule["annotations"]["runbook_url"].rpartition("/")[0]
        for group in groups(manifests)
        for rule in group["rules"]
        if "alert" in rule
    }
    assert addresses == {"https://wiki.example.org/kosmosx"}


def test_the_chart_s_alerts_fire_when_they_should(tmp_path: Path) -> None:
    (tmp_path / "chart.yaml").write_text(yaml.safe_dump({"groups": groups(RENDERED["watched"])}))
    run_promtool(
        "test", "rules", shutil.copy(Path(__file__).with_name("alerts.test.yaml"), tmp_path)
    )
