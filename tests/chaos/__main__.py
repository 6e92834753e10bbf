"""python -m tests.chaos [--strikes 1000] [--seed 1]: a long campaign, and its tables."""

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
from pathlib import Path

from tests.chaos.campaign import AT_ONCE, Campaign
from tests.chaos.faults import CREW_FAULTS, FAULTS, VLLM_FAULTS

SHOWN = 20


def main() -> None:
    """Exit with 1 if anything was lost, doubled, changed or billed wrongly."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Kill everything.")
    parser.add_argument("--strikes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=["deterministic", "vllm"], default="deterministic")
    parser.add_argument("--workers", type=int, default=1, help="of each server")
    parser.add_argument("--fault", action="append", help="only this; repeatable")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="faults that may overlap")
    parser.add_argument("--verbose", action="store_true", help="tell each strike")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    if given.verbose:
        logging.getLogger("tests.chaos").setLevel(logging.INFO)
    known = VLLM_FAULTS if given.engine == "vllm" else FAULTS
    if given.workers > 1:
        known = CREW_FAULTS
    if unknown := set(given.fault or ()) - known.keys():
        parser.error(f"no faults: {sorted(unknown)}; there are {list(known)}")
    faults = {name: known[name] for name in given.fault or known}
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    campaign = Campaign(
        folder,
        seed=given.seed,
        faults=faults,
        at_once=given.at_once,
        environment={"KOSMOSX_ENGINE": given.engine, "KOSMOSX_WORKERS": str(given.workers)},
    )
    report = asyncio.run(campaign.run(given.strikes))
    print(report.tables())
    if report.verdict.clean:
        shutil.rmtree(folder)
        return
    print(*report.verdict.findings[:SHOWN], f"All of it lies in {folder}.", sep="\n")
    sys.exit(1)


if __name__ == "__main__":
    main()
