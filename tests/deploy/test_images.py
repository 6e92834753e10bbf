"""The images, built and run: minutes, gigabytes, and root. The GPU's has a base from elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.deploy.containers import Buildah, Container
from tests.deploy.tools import run_tool
from tests.vllm_server import API_KEY, VllmServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

STRUCTURE = "tests/deploy/structure/image.yaml"


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Buildah:
    return Buildah(tmp_path_factory.mktemp("buildah"))


@pytest.fixture(scope="module")
def gateway(buildah: Buildah) -> str:
    return buildah.build("gateway")


@pytest.fixture(scope="module")
def cpu(buildah: Buildah) -> str:
    return buildah.build("cpu")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    server = VllmServer(tmp_path_factory.mktemp("engine"))
    server.wait_until_well()
    yield server
    server.kill()


@pytest.mark.parametrize("target", ["gateway", "cpu"])
def test_structure(buildah: Buildah, request: pytest.FixtureRequest, target: str) -> None:
    archive = buildah.archive(request.getfixturevalue(target))
    run_tool(
        "container-structure-test", "test", "--driver", "tar", "--image", archive,
        "--config", STRUCTURE,
    )  # fmt: skip
    Path(archive).unlink()


def test_the_gateway_has_no_model(buildah: Buildah, gateway: str) -> None:
    look = "import importlib.util as u; print([u.find_spec(n) for n in ('torch', 'vllm')])"
    assert buildah.run(gateway, "python", "-c", look) == "[None, None]"


def test_the_user_owns_what_it_writes_and_nothing_else(buildah: Buildah, gateway: str) -> None:
    assert "uid=10001" in buildah.run(gateway, "id")
    owners = buildah.run(gateway, "stat", "-c", "%u", "/data", "/cache", "/opt/kosmosx/bin/kosmosx")
    assert owners.split() == ["10001", "10001", "0"]


def test_the_gateway_answers_by_an_engine_elsewhere(
    buildah: Buildah, gateway: str, engine: VllmServer
) -> None:
    remote = {"KOSMOSX_ENGINE_URLS": engine.url, "KOSMOSX_ENGINE_API_KEY": API_KEY}
    with buildah.serve(gateway, **remote) as container:
        answers_and_stops(container)


def test_the_cpu_image_is_the_whole_demo(buildah: Buildah, cpu: str) -> None:
    with buildah.serve(cpu) as container:
        assert "<title>" in httpx.get(container.url).text
        answers_and_stops(container)


def answers_and_stops(container: Container) -> None:
    answer = httpx.post(
        f"{container.url}/v1/responses",
        headers={"Authorization": f"Bearer {container.key}"},
        json={"model": "kosmos-x", "input": "Hello!"},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["output_tokens"] > 0
    assert container.stop() == 0
