"""Node.js, and the npm packages of a folder of tests, as its package-lock.json says."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

import playwright

NODE = Path(playwright.__file__).parent / "driver" / "node"
"""The official client needs a newer Node.js than many machines have; Playwright brings one."""
INSTALL_TIMEOUT_S = 300


@cache
def node_modules(folder: Path) -> Path:
    """Where the folder's locked packages are; they are installed unless they are there.

    Raises:
        RuntimeError: they cannot be.
    """
    modules = folder / "node_modules"
    lock = (folder / "package-lock.json").read_bytes()
    installed = modules / ".installed-from"
    if installed.exists() and installed.read_bytes() == lock:
        return modules
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError(f"the tests need npm on the PATH, for the packages in {folder}")
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S
    )
    if done.returncode:
        raise RuntimeError(f"'npm ci' failed in {folder}: {done.stderr.strip()[-1000:]}")
    installed.write_bytes(lock)
    return modules
