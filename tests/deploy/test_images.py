"""The images, built and run: minutes, gigabytes, and root. The GPU's has a base from elsewhere."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.deploy.containers import Buildah, Container
from tests.deploy.tools import ROOT, run_tool
from tests.vllm_server import API_KEY, VllmServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

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


def test_structure(buildah: Buildah, gateway: str) -> None:
    """Of the stage that both of them are made from."""
    archive = buildah.archive(gateway)
    run_tool(
        "container-structure-test", "test", "--driver", "tar", "--image", archive,
        "--config", STRUCTURE,
    )  # fmt: skip
    archive.unlink()


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


def test_the_packages_of_the_gpu_image_fit_together(tmp_path: Path) -> None:
    """vLLM's CUDA build with this server's locked packages, for the Python of vLLM's image."""
    compile_ = [
        Path(sys.executable).with_name("uv"), "pip", "compile", "--quiet", "pyproject.toml",
        "--python-version", "3.12", "--python-platform", "x86_64-manylinux_2_31",
    ]  # fmt: skip
    own, all_ = tmp_path / "gateway.txt", tmp_path / "gpu.txt"
    steps = (("embedded", "locks/cpu.txt", own), ("gpu", own, all_))
    for extra, constraint, output in steps:
        subprocess.run(
            [*compile_, "--extra", extra, "--constraint", constraint, "--output-file", output],
            cwd=ROOT, check=True,
        )  # fmt: skip
    packages = re.findall(r"^[a-z0-9._-]+==\S+", all_.read_text(), re.MULTILINE)
    assert {each for each in packages if each.startswith("vllm==0.32.")}
    assert set(re.findall(r"^[a-z0-9._-]+==\S+", own.read_text(), re.MULTILINE)) <= set(packages)


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
