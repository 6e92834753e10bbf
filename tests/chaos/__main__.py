"""python -m tests.chaos [--strikes 1000] [--seed 1]: a long campaign, and its table."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.chaos.campaign import Campaign


def main() -> None:
    """Exit with 1 if anything was lost, doubled, changed or billed wrongly."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Kill everything.")
    parser.add_argument("--strikes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(Campaign(Path(folder), seed=given.seed).run(given.strikes))
    print(report.table())
    print(*report.verdict.findings[:20], sep="\n")
    sys.exit(not report.verdict.clean)


if __name__ == "__main__":
    main()
