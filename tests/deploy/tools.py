"""What the deployment's tests share: the repository's files, and the checkers beside the Python."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_tool(name: str, *arguments: str | Path, **environment: str) -> str:
    """What a checker of the environment prints; it fails the test if it finds anything."""
    command = [Path(sys.executable).with_name(name), *arguments]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "NO_COLOR": "1", "HOME": "/nonexistent", **environment},
    )  # fmt: skip
    assert result.returncode == 0, f"{name}:\n{result.stdout}{result.stderr}"
    return result.stdout
