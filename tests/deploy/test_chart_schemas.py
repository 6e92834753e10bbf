"""Whatever the values, Kubernetes would take what the chart renders; bad values are refused."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from cloudcoil.models.prometheus_operator.v1 import PrometheusRule, ServiceMonitor

from tests.deploy.chart import (
    CHART,
    MATRIX,
    RENDERED,
    SEVERAL,
    Manifest,
    Values,
    of_kind,
    rendered,
)

OLDEST, NEWEST = "1.30", "1.37"
EVERY = pytest.mark.parametrize("manifests", RENDERED.values(), ids=list(RENDERED))

CUSTOM = {
    "ScaledObject": ScaledObject,
    "ServiceMonitor": ServiceMonitor,
    "PrometheusRule": PrometheusRule,
}
"""Kinds with models; they let unknown fields pass, so their fields are listed below."""

FIELDS = {
    "ScaledObject": {
        "scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval", "fallback",
        "advanced", "triggers",
    },
    "ServiceMonitor": {"selector", "endpoints"},
    "PrometheusRule": {"groups"},
    # No models of these are to be had: their fields by the documents of KubeRay, the External
    # Secrets Operator, the Gateway API and the AWS Load Balancer Controller.
    "RayCluster": {"rayVersion", "headGroupSpec", "workerGroupSpecs"},
    "ExternalSecret": {"refreshInterval", "secretStoreRef", "target", "dataFrom"},
    "HTTPRoute": {"parentRefs", "hostnames", "rules"},
    "TargetGroupBinding": {"targetGroupARN", "targetType", "serviceRef"},
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _schemas_are_read_once() -> Iterator[None]:
    """The validator would parse megabytes of definitions for every manifest."""
    with pytest.MonkeyPatch.context() as patch:
        read = kubernetes_validate.utils.schema_contents
        patch.setattr(kubernetes_validate.utils, "schema_contents", cache(read))
        yield


@pytest.mark.parametrize("values", MATRIX.values(), ids=list(MATRIX))
def test_lint_finds_nothing(values: Values) -> None:
    report = helm_python.lint(CHART, values=values, namespace="chat", strict=True)
    assert report["errors"] == []
    # Severity 1 is information: that the chart has no icon.
    assert [each for each in report["messages"] if each["severity"] > 1] == []


def test_a_package_has_what_the_links_lead_to(tmp_path: Path) -> None:
    with helm_python.Chart.load(helm_python.package(CHART, destination=tmp_path)) as packed:
        files = {file["name"] for file in packed.files}
    migrations = (CHART / "migrations").glob("*.sql")
    assert files >= {"migrate.sh", *(f"migrations/{path.name}" for path in migrations)}
    shipped = {name for name in files if name.startswith("dashboards/")}
    boards = {
        f"dashboards/{path.name}" for path in (CHART / "dashboards").iterdir() if path.is_file()
    }
    assert shipped == boards


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@EVERY
def test_kubernetes_takes_it(manifests: list[Manifest], version: str) -> None:
    for manifest in manifests:
        if manifest["kind"] not in FIELDS:
            kubernetes_validate.validate(manifest, version, strict=True)


@EVERY
def test_operators_take_their_resources(manifests: list[Manifest]) -> None:
    for manifest in of_kind(manifests, *FIELDS):
        assert set(manifest["spec"]) <= FIELDS[manifest["kind"]]
        if model := CUSTOM.get(manifest["kind"]):
            model.model_validate(manifest)


def test_the_pods_of_ray_are_pods() -> None:
    (cluster,) = of_kind(RENDERED["ray"], "RayCluster")
    for group in [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]:
        pod = {"apiVersion": "v1", "kind": "Pod", **group["template"]}
        kubernetes_validate.validate(pod, NEWEST, strict=True)


def test_every_kind_is_in_the_matrix() -> None:
    seen = {each["kind"] for manifests in RENDERED.values() for each in manifests}
    assert seen >= FIELDS.keys() | {
        "Deployment", "StatefulSet", "Service", "ServiceAccount", "ConfigMap", "Secret", "Job",
        "PersistentVolumeClaim", "PodDisruptionBudget", "HorizontalPodAutoscaler", "Ingress",
        "NetworkPolicy", "Pod",
    }  # fmt: skip


@EVERY
def test_names_are_given_once_and_fit(manifests: list[Manifest]) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in manifests]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 63 for _, name in names)


REFUSED: dict[str, tuple[Values, str]] = {
    "an unknown value": ({"gatway": {}}, "gatway"),
    "an unknown value inside": ({"drain": {"prestop": 3}}, "prestop"),
    "no number": ({"gateway": {"replicas": "two"}}, "/gateway/replicas"),
    "no mode": ({"engine": {"mode": "local"}}, "/engine/mode"),
    "no engines": ({"engine": {"mode": "external"}}, "/engine/urls"),
    "engines of two kinds": ({"engine": {"urls": ["http://a:8000"]}}, "/engine/urls"),
    "an engine twice": (
        {"engine": {"mode": "external", "urls": ["http://a:8000", "http://a:8000"]}},
        "/engine/urls",
    ),
    "ray on a CPU": ({"engine": {"mode": "raycluster"}}, "/engine/device"),
    "a password among settings": (
        {"redis": {"mode": "external", "url": "redis://:secret@cache:6379"}},
        "/redis/url",
    ),
    "a secret among settings": (
        {"gateway": {"settings": {"KOSMOSX_KEY_PEPPER": "secret"}}},
        "KOSMOSX_KEY_PEPPER",
    ),
    "the drain by its back door": (
        {"gateway": {"settings": {"KOSMOSX_DRAIN_TIMEOUT_S": "900"}}},
        "KOSMOSX_DRAIN_TIMEOUT_S",
    ),
    "a secret without a use": ({"secrets": {"values": {"PASSWORD": "x"}}}, "PASSWORD"),
    "a password that no URL takes": (
        {"secrets": {"values": {"VALKEY_PASSWORD": "half@the-password"}}},
        "/secrets/values/VALKEY_PASSWORD",
    ),
    "no pause before the end": ({"drain": {"preStopSeconds": 0}}, "/drain/preStopSeconds"),
    "an image without a version": ({"valkey": {"image": "valkey/valkey"}}, "/valkey/image"),
    "an ingress for nobody": ({"ingress": {"enabled": True}}, "/ingress/host"),
    "a store without a name": ({"secrets": {"external": {"enabled": True}}}, "/secrets/external"),
    "two gateways with a file each": ({"gateway": {"replicas": 2}}, "supabase.url: expected"),
    "scaling with a file each": ({"autoscaling": {"mode": "hpa"}}, "supabase.url: expected"),
    "supabase without a pepper": (
        {
            "supabase": {"url": "https://books.example.com"},
            "secrets": {"values": {"SUPABASE_SERVICE_KEY": "x"}},
        },
        "KOSMOSX_KEY_PEPPER: expected",
    ),
    "supabase without its key": (
        {"supabase": {"url": "https://books.example.com"}},
        "SUPABASE_SERVICE_KEY: expected",
    ),
    "fewer at most than at least": (
        {**SEVERAL, "autoscaling": {"mode": "keda", "minReplicas": 5, "maxReplicas": 2}},
        "autoscaling.maxReplicas: expected",
    ),
    "two sources of secrets": (
        {
            "secrets": {
                "existingSecret": "a",
                "external": {"enabled": True, "keys": ["k"], "store": {"name": "s"}},
            }
        },
        "secrets: expected existingSecret or external",
    ),
    "no redis": ({"redis": {"mode": "external"}}, "redis: expected redis.url, or REDIS_URL"),
}


@pytest.mark.parametrize(("values", "named"), REFUSED.values(), ids=list(REFUSED))
def test_bad_values_are_refused_by_name(values: Values, named: str) -> None:
    with pytest.raises(helm_python.HelmError) as refused:
        rendered(values)
    assert named in str(refused.value)


def test_strict_validation_is_strict() -> None:
    """The check above can fail: a misspelt field of a pod does not pass."""
    (deployment,) = of_kind(rendered({}), "Deployment")
    broken: Manifest | Any = {**deployment, "spec": {**deployment["spec"], "replica": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, NEWEST, strict=True)
