"""The chart holds what it promises, whatever its values."""

import json
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from kosmosx_stream.server import CLOSE_TIMEOUT_S
from kosmosx_stream.settings import Settings
from kosmosx_stream.telemetry.names import SESSIONS_ACTIVE
from tests.deploy.chart import (
    CHART,
    MATRIX,
    NAME,
    RAY,
    RENDERED,
    SEVERAL,
    Manifest,
    environment,
    gateway,
    named,
    notes,
    of_kind,
    pods,
    rendered,
)
from tests.deploy.setting_names import known_names, secret_names

EVERY = pytest.mark.parametrize("manifests", RENDERED.values(), ids=list(RENDERED))


# -- a pod's end ---------------------------------------------------------------------------


@EVERY
def test_a_pod_has_time_for_its_longest_turn(manifests: list[Manifest]) -> None:
    """terminationGracePeriodSeconds > preStop + longest turn + what the server needs after it."""
    pod = gateway(manifests)
    (container,) = pod["containers"]
    settings = Settings()
    pause_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain_s = float(environment(manifests)["KOSMOSX_DRAIN_TIMEOUT_S"])
    assert pause_s >= 5
    needed_s = pause_s + drain_s + settings.settle_timeout_s + CLOSE_TIMEOUT_S
    assert pod["terminationGracePeriodSeconds"] > needed_s


def test_a_longer_turn_gets_a_longer_grace() -> None:
    short, long = (
        gateway(rendered({"drain": {"longestTurnSeconds": seconds}})) for seconds in (60, 600)
    )
    assert long["terminationGracePeriodSeconds"] - short["terminationGracePeriodSeconds"] == 540


# -- secrets -------------------------------------------------------------------------------


@EVERY
def test_no_secret_lies_in_a_config_map(manifests: list[Manifest]) -> None:
    for each in of_kind(manifests, "ConfigMap"):
        assert not set(each["data"]) & secret_names() - {"REDIS_URL"}
        # A Redis without a password is no secret.
        assert "@" not in each["data"].get("REDIS_URL", "")


def test_a_given_secret_lies_in_secrets_alone() -> None:
    values = MATRIX["secrets given"]["secrets"]["values"].values()
    for each in rendered(MATRIX["secrets given"]):
        if each["kind"] != "Secret":
            assert not [value for value in values if value in json.dumps(each)]


def test_the_settings_of_a_gateway_can_be_no_secrets() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    names = schema["properties"]["gateway"]["properties"]["settings"]["propertyNames"]
    ours = {name for name in secret_names() if name.startswith("KOSMOSX_")}
    assert ours
    assert ours <= set(names["not"]["enum"])


@pytest.mark.parametrize("name", MATRIX)
def test_a_pepper_is_never_made_up(name: str) -> None:
    """Rendered anew, without a cluster to look into, it would change, and end every key."""
    given = MATRIX[name].get("secrets", {}).get("values", {})
    for each in of_kind(RENDERED[name], "Secret"):
        if each["metadata"]["name"].endswith("-migrations"):
            continue
        assert ("KOSMOSX_KEY_PEPPER" in each["data"]) == ("KOSMOSX_KEY_PEPPER" in given)


# -- rights --------------------------------------------------------------------------------


@EVERY
def test_pods_are_restricted(manifests: list[Manifest]) -> None:
    """Kubernetes' Pod Security Standards, profile "restricted"; and a little more."""
    for pod in pods(manifests):
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"]["type"] == "RuntimeDefault"
        assert pod["automountServiceAccountToken"] is False
        # A service named kosmosx would set KOSMOSX_PORT, and one named vllm VLLM_PORT.
        assert pod["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert not [volume for volume in pod.get("volumes", []) if "hostPath" in volume]
        for container in pod["containers"] + pod.get("initContainers", []):
            rights = container["securityContext"]
            assert rights["allowPrivilegeEscalation"] is False
            assert rights["capabilities"] == {"drop": ["ALL"]}
            assert rights["readOnlyRootFilesystem"] is True
            assert container["resources"]["limits"]["memory"]


@EVERY
def test_an_engine_is_reached_by_gateways_alone(manifests: list[Manifest]) -> None:
    engines = of_kind(manifests, "RayCluster") + [
        each for each in of_kind(manifests, "StatefulSet") if "engine" in each["metadata"]["name"]
    ]
    policies = of_kind(manifests, "NetworkPolicy")
    if not engines or not policies:
        return
    policy = named(manifests, "NetworkPolicy", f"{NAME}-engine")
    from_whom = policy["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
    assert from_whom["app.kubernetes.io/component"] == "gateway"


def test_a_gateway_that_not_everyone_reaches_is_reached_by_its_test_and_its_watcher() -> None:
    policy = named(RENDERED["watched"], "NetworkPolicy", NAME)
    served, measured = policy["spec"]["ingress"]
    selectors = json.dumps(served["from"])
    assert len(served["from"]) == 2
    assert '"edge"' in selectors
    assert '"app.kubernetes.io/component": "test"' in selectors
    assert '"monitoring"' in json.dumps(measured["from"])
    assert len(measured["from"]) == 1


@pytest.mark.parametrize("workers", [1, 3])
def test_each_worker_s_metrics_are_read(workers: int) -> None:
    values = MATRIX["watched"]
    manifests = rendered({**values, "gateway": {"workers": workers}})
    first = int(environment(manifests)["KOSMOSX_METRICS_ADDRESS"].rpartition(":")[2])
    (container,) = gateway(manifests)["containers"]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    monitor = named(manifests, "ServiceMonitor", NAME)
    read = [ports[each["targetPort"]] for each in monitor["spec"]["endpoints"]]
    assert read == list(range(first, first + workers))
    (service,) = (
        each for each in of_kind(manifests, "Service") if each["metadata"]["name"] == NAME
    )
    assert [each["targetPort"] for each in service["spec"]["ports"]] == ["http"]
    policy = named(manifests, "NetworkPolicy", NAME)
    (allowed,) = policy["spec"]["ingress"][1]["ports"]
    assert (allowed["port"], allowed["endPort"]) == (read[0], read[-1])


def test_scaling_goes_by_a_metric_that_there_is() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values["autoscaling"]["sessionsMetric"] == SESSIONS_ACTIVE.prometheus


# -- how many ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["none", "hpa", "keda"])
def test_one_scaler_at_most(mode: str) -> None:
    manifests = rendered({**SEVERAL, "autoscaling": {"mode": mode}})
    kinds = {each["kind"] for each in of_kind(manifests, "HorizontalPodAutoscaler", "ScaledObject")}
    assert (
        kinds == {"none": set(), "hpa": {"HorizontalPodAutoscaler"}, "keda": {"ScaledObject"}}[mode]
    )
    (deployment,) = of_kind(manifests, "Deployment")
    # Helm must not set back what a scaler has chosen.
    assert ("replicas" in deployment["spec"]) == (mode == "none")


@pytest.mark.parametrize("mode", ["hpa", "keda"])
def test_it_scales_down_slowly(mode: str) -> None:
    manifests = rendered({**SEVERAL, "autoscaling": {"mode": mode}})
    if mode == "hpa":
        (scaler,) = of_kind(manifests, "HorizontalPodAutoscaler")
        behavior = scaler["spec"]["behavior"]
    else:
        (scaler,) = of_kind(manifests, "ScaledObject")
        behavior = scaler["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    (policy,) = behavior["scaleDown"]["policies"]
    assert (policy["type"], policy["value"]) == ("Pods", 1)
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 300


@EVERY
def test_one_gateway_with_a_file_and_several_with_supabase(manifests: list[Manifest]) -> None:
    (deployment,) = of_kind(manifests, "Deployment")
    several = deployment["spec"].get("replicas") != 1
    (data,) = (each for each in gateway(manifests)["volumes"] if each["name"] == "data")
    if several:
        assert "SUPABASE_URL" in environment(manifests)
        assert environment(manifests)["KOSMOSX_FIRST_KEY"] == "false"
        assert of_kind(manifests, "PodDisruptionBudget")
        assert needed(manifests) >= {"KOSMOSX_KEY_PEPPER", "SUPABASE_SERVICE_KEY"}
    if "persistentVolumeClaim" in data:
        assert not several
        assert deployment["spec"]["strategy"]["type"] == "Recreate"
        assert of_kind(manifests, "PersistentVolumeClaim")


# -- the parts fit together ----------------------------------------------------------------


@EVERY
def test_a_gateway_is_given_settings_that_it_knows(manifests: list[Manifest]) -> None:
    assert set(environment(manifests)) <= known_names()


@EVERY
def test_what_a_secret_must_have_it_has(manifests: list[Manifest]) -> None:
    """Where the chart makes the secret, no pod waits for a key that is not there."""
    kept = {
        (each["metadata"]["name"], key)
        for each in of_kind(manifests, "Secret")
        for key in each["data"]
    }
    made = {name for name, _ in kept}
    wanted = {
        (reference["name"], reference["key"])
        for pod in pods(manifests)
        for reference in references(pod)
        if not reference.get("optional")
    }
    assert {each for each in wanted if each[0] in made} <= kept
    elsewhere = {name for name, _ in wanted} - made
    assert elsewhere <= {"kosmosx"} or of_kind(manifests, "ExternalSecret")


@pytest.mark.parametrize("replicas", [1, 3])
def test_every_engine_has_a_url(replicas: int) -> None:
    manifests = rendered({"engine": {"replicas": replicas}})
    engines = named(manifests, "StatefulSet", f"{NAME}-engine")
    service = named(manifests, "Service", engines["spec"]["serviceName"])
    assert service["spec"]["clusterIP"] == "None"
    assert environment(manifests)["KOSMOSX_ENGINE_URLS"].split(",") == [
        f"http://{NAME}-engine-{number}.{NAME}-engine:8000" for number in range(replicas)
    ]


@EVERY
def test_selectors_find_their_pods(manifests: list[Manifest]) -> None:
    labels = [
        each["spec"]["template"]["metadata"]["labels"]
        for each in of_kind(manifests, "Deployment", "StatefulSet")
    ] + [
        each["spec"]["headGroupSpec"]["template"]["metadata"]["labels"]
        for each in of_kind(manifests, "RayCluster")
    ]
    selectors = [each["spec"]["selector"] for each in of_kind(manifests, "Service")]
    selectors += [
        each["spec"]["podSelector"]["matchLabels"] for each in of_kind(manifests, "NetworkPolicy")
    ]
    for selector in selectors:
        assert [each for each in labels if selector.items() <= each.items()], selector


def test_valkey_keeps_what_it_acknowledged() -> None:
    valkey = named(rendered({}), "StatefulSet", f"{NAME}-valkey")
    args = valkey["spec"]["template"]["spec"]["containers"][0]["args"]
    options = dict(zip(args[1::2], args[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "always"
    assert options["--maxmemory-policy"] == "noeviction"


@pytest.mark.parametrize("name", ["trial", "four GPU engines", "ray", "a shared checkpoint"])
def test_an_engine_is_started_as_the_server_needs_it(name: str) -> None:
    manifests = rendered(MATRIX[name])
    (container,) = next(
        pod["containers"]
        for pod in pods(manifests)
        if pod["containers"][0]["name"] in {"engine", "ray"}
    )
    words = shlex.split(container["args"][0])
    assert {"--enable-scale-out", "--enable-prompt-tokens-details"} <= set(words)
    assert words[words.index("--structured-outputs-config.backend") + 1] == "guidance"
    gpu = MATRIX[name].get("engine", {}).get("device") == "gpu"
    assert ("nvidia.com/gpu" in container["resources"]["limits"]) == gpu
    assert ("--block-size" in words) != gpu
    assert "it's" in words or name != "four GPU engines"


def test_ray_spans_its_nodes() -> None:
    (cluster,) = of_kind(rendered(RAY), "RayCluster")
    (head,) = cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"]
    words = shlex.split(head["args"][0])
    assert words[words.index("--tensor-parallel-size") + 1] == "8"
    assert words[words.index("--pipeline-parallel-size") + 1] == "2"
    assert cluster["metadata"]["annotations"]["ray.io/overwrite-container-cmd"] == "true"


def test_boards_and_alerts_come_from_the_repository(tmp_path: Path) -> None:
    folder = shutil.copytree(CHART, tmp_path / "chart")
    (folder / "dashboards/user_board.json").write_text('{"title": "Users {{ user }}"}')
    rule = {"alert": "Late", "expr": "late > 1", "annotations": {"summary": "{{ $value }} s"}}
    alerts = {"groups": [{"name": "users", "rules": [rule]}]}
    (folder / "dashboards/alerts-users.yaml").write_text(json.dumps(alerts))
    manifests = rendered(MATRIX["watched"], folder)
    board = named(manifests, "ConfigMap", f"{NAME}-board-user-board")
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(board["data"]["user_board.json"]) == {"title": "Users {{ user }}"}
    (found,) = of_kind(manifests, "PrometheusRule")
    assert found["spec"]["groups"][-1] == alerts["groups"][0]


def test_the_notes_lead_to_the_page() -> None:
    assert "port-forward service/demo-kosmosx-stream" in notes({})
    assert "https://chat.example.com/" in notes(MATRIX["routes"])
    assert "keys create" in notes(MATRIX["production"])
    assert "cat /data/first_key" in notes({})


def needed(manifests: list[Manifest]) -> set[str]:
    """Keys of the secret without which a gateway does not start."""
    return {each["key"] for each in references(gateway(manifests)) if not each.get("optional")}


def references(pod: Manifest) -> list[Manifest]:
    return [
        each["valueFrom"]["secretKeyRef"]
        for container in pod["containers"]
        for each in container.get("env", [])
        if "valueFrom" in each
    ]
