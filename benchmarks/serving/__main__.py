"""Serving: what a token costs here, and at peers, on the same engine, machine and run.

    python -m benchmarks.serving [--quick] [--json FILE]
        [streaming] [alone] [idle] [conversations] [commit]

Every server is started here, on loopback, and ended; runs are interleaved and figures are medians
over the rounds. Compare ratios, not machines. CPU time is the serving process's and its store's,
from the kernel; the engine's own processes are left out, the load client is a process of its own.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

from benchmarks.serving import alone, conversations, idle, steps, streaming
from benchmarks.serving.tables import Table

SECTIONS = ("streaming", "alone", "idle", "conversations", "commit")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="one round of less; <= 5 minutes")
    parser.add_argument("--rounds", type=int, help="default 3, quick 1")
    parser.add_argument("--json", type=Path, help="where the medians are written")
    parser.add_argument(
        "--litellm",
        type=Path,
        default=Path(".cache/benchmarks/litellm"),
        help="LiteLLM's virtual environment; made if it is not there",
    )
    parser.add_argument("--no-litellm", action="store_true", help="leave that peer out")
    given = parser.parse_args()
    if unknown := set(given.sections) - set(SECTIONS):
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    rounds = given.rounds or (1 if given.quick else 3)
    litellm = None if given.no_litellm else given.litellm.absolute()
    found: dict[str, Table] = {}
    took_s: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for section in given.sections or SECTIONS:
            began = time.monotonic()
            found[section] = _measure(section, folder, rounds, litellm, quick=given.quick)
            took_s[section] = round(time.monotonic() - began, 1)
            print(f"\n({section} took {took_s[section]:.0f} s)", flush=True)
    if given.json is not None:
        machine = {"cores": os.cpu_count(), "python": platform.python_version()}
        facts = {"at": time.strftime("%Y-%m-%d %H:%M"), "rounds": rounds, "machine": machine}
        given.json.write_text(json.dumps({**facts, "took_s": took_s, "medians": found}, indent=1))


def _measure(
    section: str, folder: Path, rounds: int, litellm: Path | None, *, quick: bool
) -> Table:
    match section:
        case "streaming":
            return streaming.measure(
                folder, streams=(1, 64, 256) if quick else (1, 16, 64, 256), rounds=rounds
            )
        case "alone":
            return alone.measure(
                folder, streams=(64,) if quick else (64, 256), rounds=rounds, litellm=litellm
            )
        case "idle":
            return idle.measure(folder, rounds=rounds)
        case "conversations":
            return conversations.measure(folder, rounds=rounds)
        case _:
            return steps.measure(seconds=2.0 if quick else 8.0)


if __name__ == "__main__":
    main()
