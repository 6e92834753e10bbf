"""Images built and run by buildah, for a machine without a Docker engine; needs root.

The base is a Debian made by debootstrap: the Dockerfile's own base has to come from a registry.
"""

import os
import shutil
import signal
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.deploy.tools import ROOT
from tests.server_process import free_port, wait_until_ok

BASE = "localhost/debian-python"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
START_TIMEOUT_S = 120


class Container:
    """The server in an image, as its user, on this machine's network."""

    def __init__(self, launcher: subprocess.Popen[bytes], port: int, data: Path) -> None:
        self._launcher = launcher
        self.data = data
        self.url = f"http://127.0.0.1:{port}"

    @property
    def key(self) -> str:
        return (self.data / "first_key").read_text().strip()

    def output(self) -> str:
        return (self.data.parent / f"{self.data.name}.out").read_text()

    def wait_until_ready(self) -> None:
        wait_until_ok(
            f"{self.url}/health/ready",
            lambda: self._launcher.poll() is None,
            self.output,
            START_TIMEOUT_S,
        )

    def stop(self) -> int:
        """SIGTERM to the server, as an engine of containers sends it; returns its exit status."""
        if self._launcher.poll() is None:
            os.kill(self.pid, signal.SIGTERM)
        return self._launcher.wait(60)

    @property
    def pid(self) -> int:
        """The server's, below those of buildah."""
        pid = self._launcher.pid
        while "python" not in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode():
            threads = Path(f"/proc/{pid}/task").glob("*/children")
            pid = next(int(child) for thread in threads for child in thread.read_text().split())
        return pid


class Buildah:
    """Builds the Dockerfile's targets into a store of its own."""

    def __init__(self, folder: Path) -> None:
        for tool in ("buildah", "debootstrap"):
            assert shutil.which(tool), f"{tool} is needed: apt-get install buildah debootstrap"
        self._folder = folder
        self._command = ["buildah", "--root", folder / "root", "--runroot", folder / "run"]
        self._make_base()

    def build(self, target: str) -> str:
        """The name of the image of a target."""
        image = f"localhost/kosmosx:{target}"
        # PyTorch's CPU build comes from where pip is told that it lies, or from PyTorch's index.
        wheels = os.environ.get("PIP_FIND_LINKS", "")
        local = [
            "--volume", f"{wheels}:{wheels}:ro",
            "--build-arg", f"TORCH_SOURCE=--no-index --find-links {wheels}",
        ] if Path(wheels).is_dir() and wheels else []  # fmt: skip
        self._run(
            "bud", "--quiet", "--isolation", "chroot", "--format", "docker", "--pull-never",
            *local, "--build-arg", f"BASE_IMAGE={BASE}", "--target", target, "--tag", image, ROOT,
        )  # fmt: skip
        return image

    def archive(self, image: str) -> Path:
        """The image as `docker save` writes it."""
        path = self._folder / f"{image.rpartition(':')[2]}.tar"
        path.unlink(missing_ok=True)
        self._run("push", "--quiet", image, f"docker-archive:{path}:{image}")
        return path

    def run(self, image: str, *command: str) -> str:
        """What a command in the image prints."""
        container = self._run("from", "--pull-never", image)
        try:
            return self._run("run", "--isolation", "chroot", container, "--", *command)
        finally:
            self._run("rm", container)

    @contextmanager
    def serve(self, image: str, **environment: str) -> Iterator[Container]:
        """Run what the image runs by itself; its data lie in a folder of this machine."""
        container = self._run("from", "--pull-never", image)
        port = free_port()
        data = self._folder / f"data-{port}"
        data.mkdir(mode=0o700)
        os.chown(data, 10001, 10001)
        # buildah lays a fresh folder over the image's volumes, whatever is mounted there.
        environment |= {"KOSMOSX_PORT": str(port), "KOSMOSX_DATA_DIR": "/mnt"}
        options = [word for item in environment.items() for word in ("--env", "=".join(item))]
        with (self._folder / f"{data.name}.out").open("wb") as out:
            launcher = subprocess.Popen(
                [*self._command, "run", "--isolation", "chroot", "--volume", f"{data}:/mnt",
                 *options, container, "--", "kosmosx", "serve"],
                stdout=out, stderr=out,
            )  # fmt: skip
        running = Container(launcher, port, data)
        try:
            running.wait_until_ready()
            yield running
        finally:
            running.stop()
            self._run("rm", container)

    def _make_base(self) -> None:
        root = self._folder / "debian"
        packages = "python3,python3-venv,ca-certificates"
        command = ["debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", root]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        # Behind a proxy with a certificate of its own, the build trusts what this machine trusts.
        trusted = ssl.get_default_verify_paths().cafile or CERTIFICATES
        shutil.copy(trusted, f"{root}{CERTIFICATES}")
        container = self._run("from", "scratch")
        self._run("add", "--quiet", container, root, "/")
        self._run("config", "--env", f"SSL_CERT_FILE={CERTIFICATES}", container)
        self._run("commit", "--quiet", "--rm", container, BASE)
        shutil.rmtree(root)

    def _run(self, *arguments: str | Path) -> str:
        done = subprocess.run(
            [*self._command, *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{arguments}:\n{done.stdout}{done.stderr}"
        return done.stdout.strip()
