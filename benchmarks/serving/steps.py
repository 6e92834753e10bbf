"""Commits, settled turns and key checks: what happens beside the tokens.

Each is a benchmark of its own; here they run one after another, and their figures go along.
"""

import asyncio

from benchmarks import commit, key_check, settling
from benchmarks.serving.tables import Table


def measure(*, seconds: float) -> Table:
    """Run all, which print their lines, and return the figures. `seconds`: of each load."""
    return asyncio.run(_measure(seconds))


async def _measure(seconds: float) -> Table:
    print("\nCommits, every one on disk before it is acknowledged")
    found = await commit.main(seconds)
    print("\nTurns into the books, every one on disk before it is acknowledged")
    found |= await settling.main(seconds / 2)
    print("\nKey checks whose verdict is remembered")
    return found | await key_check.main()
