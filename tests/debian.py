"""Programs of Debian's that tests need, where the machine has them not."""

import shutil
import subprocess
import sys
from pathlib import Path

TIMEOUT_S = 600
UNPACKED = Path(sys.prefix) / "debian"
"""Beside the Python that runs the tests, and gone with it."""


def install(package: str) -> None:
    """Install a package.

    Raises:
        RuntimeError: it cannot be installed.
    """
    _run("apt-get", "update")
    _run("apt-get", "install", "-y", "--no-install-recommends", package)


def program(name: str, package: str) -> Path:
    """Where a program is that needs nothing else; its package is unpacked unless it is installed.

    Raises:
        RuntimeError: it is absent and cannot be had.
    """
    if (installed := shutil.which(name)) is not None:
        return Path(installed)
    folder = UNPACKED / package
    if not folder.exists():
        fresh = UNPACKED / f"{package}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        _run("apt-get", "update")
        _run("apt-get", "download", package, folder=fresh)
        (archive,) = fresh.glob("*.deb")
        _run("dpkg-deb", "--extract", archive.name, ".", folder=fresh)
        archive.unlink()
        fresh.rename(folder)
    return folder / "usr/bin" / name


def _run(*command: str, folder: Path | None = None) -> None:
    if shutil.which(command[0]) is None:
        raise RuntimeError(f"a test needs a package of Debian's, and there is no {command[0]}")
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
    )
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(command)!r} failed (run it as root): {done.stderr.strip()[-1000:]}"
        )
