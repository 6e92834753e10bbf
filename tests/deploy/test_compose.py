"""compose.yaml as Docker's own Compose reads it, and the files that it mounts."""

import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from kosmosx_stream.server import CLOSE_TIMEOUT_S
from kosmosx_stream.settings import Settings
from tests.deploy.setting_names import known_names
from tests.deploy.tools import ROOT, run_tool
from tests.stripe_standin.__main__ import KEY as STRIPE_KEY


@cache
def composed(*files: str) -> dict[str, Any]:
    """The services with every profile, everything resolved."""
    chosen = [word for file in files for word in ("--file", file)]
    said = run_tool("docker-compose", *chosen, "--profile", "*", "config", "--format", "json")
    services: dict[str, Any] = json.loads(said)["services"]
    return services


SERVICES = composed("compose.yaml")


def mounted(service: str) -> list[Path]:
    """Files and folders of the repository in a service."""
    volumes = SERVICES[service].get("volumes", [])
    return [Path(each["source"]) for each in volumes if each["type"] == "bind"]


def test_valkey_keeps_what_it_acknowledged() -> None:
    options = SERVICES["valkey"]["command"]
    given = dict(zip(options[1::2], options[2::2], strict=True))
    assert given["--appendonly"] == "yes"
    assert given["--appendfsync"] == "always"
    assert given["--maxmemory-policy"] == "noeviction"


def test_the_server_has_time_to_drain() -> None:
    server = SERVICES["server"]
    settings = Settings()
    drain_s = float(server["environment"]["KOSMOSX_DRAIN_TIMEOUT_S"])
    assert server["stop_grace_period"].endswith("s")
    grace_s = float(server["stop_grace_period"].removesuffix("s"))
    assert grace_s > drain_s + settings.settle_timeout_s + CLOSE_TIMEOUT_S


def test_the_server_is_given_settings_that_it_knows() -> None:
    assert set(SERVICES["server"]["environment"]) <= known_names()


def test_the_gpu_is_an_addition() -> None:
    server = composed("compose.yaml", "compose.gpu.yaml")["server"]
    assert server["build"]["target"] == "gpu"
    (device,) = server["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert server["environment"]["REDIS_URL"] == SERVICES["server"]["environment"]["REDIS_URL"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_reached_from_this_machine_only(service: str) -> None:
    for port in SERVICES[service].get("ports", []):
        assert port["host_ip"] == "127.0.0.1"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_no_more_rights_than_it_needs(service: str) -> None:
    assert SERVICES[service]["cap_drop"] == ["ALL"]
    assert SERVICES[service]["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_has_a_version(service: str) -> None:
    name, _, tag = SERVICES[service]["image"].rpartition(":")
    assert name
    assert tag not in {"", "latest"}


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_mounted_is_there(service: str) -> None:
    for path in mounted(service):
        assert path.exists(), path
        if path.suffix == ".yaml":
            assert yaml.safe_load(path.read_text())


def test_the_books_of_supabase_lite_are_opened_by_the_settings_beside_it() -> None:
    given = environment_of("supabase/lite.env")
    lite = tomllib.loads((ROOT / "supabase/lite.toml").read_text())
    assert given["SUPABASE_SERVICE_KEY"] == lite["auth"]["secret_key"]
    assert given["SUPABASE_URL"] == f"http://supabase:{lite['api']['port']}"


def test_the_stand_in_of_stripe_takes_the_key_beside_it() -> None:
    given = environment_of("tests/stripe_standin/server.env")
    assert given["STRIPE_API_KEY"] == STRIPE_KEY
    build = (ROOT / SERVICES["stripe"]["build"]["dockerfile"]).read_text()
    assert build.count(given["KOSMOSX_STRIPE_URL"].rpartition(":")[2]) == 2  # EXPOSE and CMD


def environment_of(file: str) -> dict[str, str]:
    """What a file sets, all of it known to the server."""
    lines = [line for line in (ROOT / file).read_text().splitlines() if not line.startswith("#")]
    given = dict(line.split("=", 1) for line in lines)
    assert set(given) <= known_names()
    return given


def test_the_collector_s_pipelines_are_made_of_its_parts() -> None:
    (path,) = mounted("collector")
    config = yaml.safe_load(path.read_text())
    for pipeline in config["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= set(config[kind])


def test_prometheus_scrapes_the_server_and_nobody_who_has_its_metrics_too() -> None:
    config = yaml.safe_load((ROOT / "observability/prometheus.yaml").read_text())
    (job,) = config["scrape_configs"]
    own = SERVICES["server"]["environment"]["KOSMOSX_METRICS_ADDRESS"].rpartition(":")[2]
    assert job["static_configs"] == [{"targets": [f"server:{own}"]}]


def test_prometheus_reads_the_alerts_where_they_are_mounted() -> None:
    config = yaml.safe_load((ROOT / "observability/prometheus.yaml").read_text())
    folder = "/etc/prometheus/dashboards"
    assert target_of("prometheus", ROOT / "dashboards") == folder
    assert config["rule_files"] == [f"{folder}/alerts*.yaml"]
    assert list((ROOT / "dashboards").glob("alerts*.yaml"))


def test_traces_go_to_the_collector_s_http() -> None:
    """The server sends OTLP over HTTP, and no gRPC."""
    config = yaml.safe_load((ROOT / "observability/collector.yaml").read_text())
    port = config["receivers"]["otlp"]["protocols"]["http"]["endpoint"].rpartition(":")[2]
    sent_to = SERVICES["server"]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"]
    assert sent_to == f"http://collector:{port}"


def test_grafana_finds_the_boards_and_their_source() -> None:
    provisioned = ROOT / "observability/grafana"
    (source,) = yaml.safe_load((provisioned / "datasources.yaml").read_text())["datasources"]
    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    assert source["url"].split("//")[1].split(":")[0] in SERVICES
    scraped = yaml.safe_load((ROOT / "observability/prometheus.yaml").read_text())["global"]
    assert source["jsonData"]["timeInterval"] == scraped["scrape_interval"]
    (provider,) = yaml.safe_load((provisioned / "dashboards.yaml").read_text())["providers"]
    assert provider["options"]["path"] == target_of("grafana", ROOT / "dashboards")
    folder = "/etc/grafana/provisioning"
    for name in ("datasources", "dashboards"):
        found = target_of("grafana", provisioned / f"{name}.yaml")
        assert found == f"{folder}/{name}/kosmosx.yaml"


def target_of(service: str, path: Path) -> str:
    """Where a file or folder of the repository is in a service."""
    (found,) = (each for each in SERVICES[service]["volumes"] if each["source"] == str(path))
    return str(found["target"])
