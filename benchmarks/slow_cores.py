"""Gives a process a share of a core, as if it had a slow one to itself (cgroups 1 or 2)."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

PERIOD_US = 10_000
"""Short, so that a process that has used its share stops for milliseconds only."""
V1, V2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")


@contextlib.contextmanager
def slowed(pids: Sequence[int], share: float) -> Iterator[None]:
    """Give each of these processes so much of a core, until this is left.

    Raises:
        OSError: cgroups cannot be made here; mostly one has to be root.
    """
    with contextlib.ExitStack() as stack:
        for pid in pids:
            stack.enter_context(_slowed(pid, int(share * PERIOD_US)))
        yield


@contextlib.contextmanager
def _slowed(pid: int, quota_us: int) -> Iterator[None]:
    parent = V1 if (V1 / "cgroup.procs").exists() else V2
    group = parent / f"kosmosx-benchmark-{os.getpid()}-{pid}"
    group.mkdir()
    try:
        if parent == V1:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(quota_us))
        else:
            (group / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for member in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                (parent / "cgroup.procs").write_text(member)
        group.rmdir()
