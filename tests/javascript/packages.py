"""The npm packages of the tests, installed from the registry as package-lock.json says."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

import playwright

HERE = Path(__file__).parent
NODE = Path(playwright.__file__).parent / "driver" / "node"
"""The official client needs a newer Node.js than many machines have; Playwright brings one."""
INSTALL_TIMEOUT_S = 300


@cache
def node_modules() -> Path:
    """The folder of the locked packages; they are installed unless they are there.

    Raises:
        RuntimeError: they cannot be.
    """
    modules = HERE / "node_modules"
    lock = (HERE / "package-lock.json").read_bytes()
    installed = modules / ".installed-from"
    if installed.exists() and installed.read_bytes() == lock:
        return modules
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("the JavaScript client's tests need npm on the PATH")
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(
        command, cwd=HERE, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S
    )
    if done.returncode:
        raise RuntimeError(f"'npm ci' failed in {HERE}: {done.stderr.strip()[-1000:]}")
    installed.write_bytes(lock)
    return modules
