"""The chart as Helm renders it, and the values that the tests render it with."""

import logging
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import yaml

from tests.deploy.tools import ROOT

CHART = ROOT / "charts/kosmosx-stream"
RELEASE, NAMESPACE = "demo", "chat"
NAME = "demo-kosmosx-stream"

helm_python.disable_logging()
# It says that links of the chart are followed, as they are meant to be.
logging.getLogger("helm_python").setLevel(logging.WARNING)

Values = dict[str, Any]
Manifest = dict[str, Any]

SEVERAL: Values = {
    "supabase": {"url": "https://books.example.com"},
    "secrets": {"existingSecret": "kosmosx"},
}
RAY: Values = {"engine": {"mode": "raycluster", "device": "gpu", "gpus": 8, "ray": {"workers": 1}}}

MATRIX: dict[str, Values] = {
    "trial": {},
    "production": yaml.safe_load((CHART / "values-production.yaml").read_text()),
    "three gateways": {**SEVERAL, "gateway": {"replicas": 3}},
    "hpa": {**SEVERAL, "autoscaling": {"mode": "hpa"}},
    "keda": {**SEVERAL, "autoscaling": {"mode": "keda", "minReplicas": 3}},
    "engines elsewhere": {
        "engine": {"mode": "external", "urls": ["http://a:8000", "http://b:8000"]},
        "model": {"checkpoint": "microsoft/kosmos-2-patch14-224", "maxLength": 2048},
    },
    "four GPU engines": {
        "engine": {"device": "gpu", "replicas": 4, "gpus": 2, "extraArgs": ["--seed", "it's"]},
        "model": {"checkpoint": "/models/kosmos-2"},
    },
    "a shared checkpoint": {"engine": {"cache": {"existingClaim": "models"}}},
    "ray": RAY,
    "redis elsewhere": {"redis": {"mode": "external", "url": "rediss://cache.example.com:6379/0"}},
    "redis with a password": {
        "redis": {"mode": "external"},
        "secrets": {"values": {"REDIS_URL": "redis://:hunter2hunter2@cache:6379/0"}},
    },
    "secrets given": {
        **SEVERAL,
        "gateway": {"replicas": 2},
        "secrets": {
            "values": {
                "KOSMOSX_KEY_PEPPER": "pepper-that-is-secret",
                "SUPABASE_SERVICE_KEY": "role-that-is-secret",
                "SUPABASE_DB_URL": "postgres://u:password-that-is-secret@db/postgres",
                "STRIPE_API_KEY": "stripe-that-is-secret",
            }
        },
        "supabase": {"url": "https://books.example.com", "migrations": {"enabled": True}},
    },
    "routes": {
        "ingress": {"enabled": True, "host": "chat.example.com", "tlsSecret": "tls"},
        "httpRoute": {
            "enabled": True,
            "parentRefs": [{"name": "gate", "namespace": "edge"}],
            "hostnames": ["chat.example.com"],
        },
        "targetGroupBinding": {
            "enabled": True,
            "arn": "arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/kosmosx/1",
        },
    },
    "watched": {
        "monitoring": {
            "serviceMonitor": {"enabled": True},
            "prometheusRule": {"enabled": True},
            "dashboards": {"enabled": True},
            "otlpEndpoint": "http://collector:4318",
        },
        "networkPolicy": {
            "monitoringFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
            "ingressFrom": [{"namespaceSelector": {"matchLabels": {"name": "edge"}}}],
        },
    },
    "named and placed": {
        "fullnameOverride": "chat",
        "imagePullSecrets": [{"name": "pull"}],
        "gateway": {
            "nodeSelector": {"pool": "cpu"},
            "tolerations": [{"key": "a", "operator": "Exists"}],
            "podAnnotations": {"a": "b"},
            "settings": {"KOSMOSX_RETENTION_S": "604800"},
            "persistence": {"storageClass": "fast"},
        },
        "networkPolicy": {"enabled": False},
        "service": {"type": "LoadBalancer", "annotations": {"a": "b"}},
    },
}


@cache
def _chart(folder: Path) -> helm_python.Chart:
    return helm_python.Chart.load(folder)


def rendered(values: Values, folder: Path = CHART) -> list[Manifest]:
    """Every manifest, the notes left out.

    Raises:
        helm_python.HelmError: the chart refuses the values.
    """
    files = _chart(folder).render(values, name=RELEASE, namespace=NAMESPACE)
    return [
        manifest
        for path, text in files.items()
        if not path.endswith("NOTES.txt")
        for manifest in yaml.load_all(text, yaml.CSafeLoader)
        if manifest
    ]


def notes(values: Values) -> str:
    files = _chart(CHART).render(values, name=RELEASE, namespace=NAMESPACE)
    return files["kosmosx-stream/templates/NOTES.txt"]


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [each for each in manifests if each["kind"] in kinds]


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = (each for each in of_kind(manifests, kind) if each["metadata"]["name"] == name)
    return found


def pods(manifests: list[Manifest]) -> list[Manifest]:
    """The specs of all pods that the manifests lead to."""
    found = [each["spec"] for each in of_kind(manifests, "Pod")]
    found += [
        each["spec"]["template"]["spec"]
        for each in of_kind(manifests, "Deployment", "StatefulSet", "Job")
    ]
    for each in of_kind(manifests, "RayCluster"):
        groups = [each["spec"]["headGroupSpec"], *each["spec"]["workerGroupSpecs"]]
        found += [group["template"]["spec"] for group in groups]
    return found


def gateway(manifests: list[Manifest]) -> Manifest:
    """The spec of a gateway's pod."""
    (deployment,) = of_kind(manifests, "Deployment")
    spec: Manifest = deployment["spec"]["template"]["spec"]
    return spec


def environment(manifests: list[Manifest]) -> dict[str, Any]:
    """What a gateway gets by value and by name."""
    pod = gateway(manifests)
    (container,) = pod["containers"]
    (source,) = container["envFrom"]
    settings = named(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    own = {each["name"]: each.get("value") for each in container["env"]}
    assert not set(settings) & set(own)
    return {**settings, **own}


RENDERED = {name: rendered(values) for name, values in MATRIX.items()}
"""All that the matrix leads to; tests only read it."""
