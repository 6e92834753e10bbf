"""Gives a process a share of a core, as if it had a slow one to itself (cgroups 1 or 2)."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

PERIOD_US = 10_000
"""Short, so that a process that has used its share stops for milliseconds only."""
WEIGHT = 10
"""Times the weight of others' processes: a busy machine is to disturb less."""
V1, V2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")


@contextlib.contextmanager
def slowed(pids: Sequence[int], share: float) -> Iterator[None]:
    """Give each of these processes so much of a core, and this one as much as it wants, till left.

    Raises:
        OSError: cgroups cannot be made here; mostly one has to be root.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_grouped(os.getpid(), os.cpu_count() or 1))  # its children, the load
        for pid in pids:
            stack.enter_context(_grouped(pid, share))
        yield


@contextlib.contextmanager
def _grouped(pid: int, share: float) -> Iterator[None]:
    quota_us = int(share * PERIOD_US)
    parent = V1 if (V1 / "cgroup.procs").exists() else V2
    group = parent / f"kosmosx-benchmark-{os.getpid()}-{pid}"
    group.mkdir()
    try:
        if parent == V1:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(quota_us))
            (group / "cpu.shares").write_text(str(1024 * WEIGHT))
        else:
            (group / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
            (group / "cpu.weight").write_text(str(100 * WEIGHT))
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for member in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                (parent / "cgroup.procs").write_text(member)
        group.rmdir()
