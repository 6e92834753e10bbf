"""A PostgreSQL of the tests' own, where its programs are on the PATH."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.server_process import free_port


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Its URL, while it runs."""
    # It refuses to run as root, and root's temporary files are nobody else's to read.
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="kosmosx-postgres-"))
    if user:
        shutil.chown(folder, user)
    port = free_port()
    try:
        subprocess.run(
            [program("initdb"), "--pgdata", folder, "--auth", "trust", "--username", "postgres",
             "--encoding", "UTF8", "--no-sync"],
            check=True, capture_output=True, user=user, cwd="/",
        )  # fmt: skip
        control = [program("pg_ctl"), "--pgdata", folder, "--wait"]
        options = f"-p {port} -h 127.0.0.1 -k {folder}"
        subprocess.run(
            [*control, "--log", folder / "log", "--options", options, "start"],
            check=True, stdout=subprocess.DEVNULL, user=user, cwd="/",
        )  # fmt: skip
        try:
            yield f"postgres://postgres@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run(
                [*control, "--mode", "immediate", "stop"],
                check=True, stdout=subprocess.DEVNULL, user=user, cwd="/",
            )  # fmt: skip
    finally:
        shutil.rmtree(folder)


def program(name: str) -> str:
    """Its true path: `initdb` looks for its neighbours there."""
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"these tests need PostgreSQL's {name} on the PATH")
    return str(Path(found).resolve())
