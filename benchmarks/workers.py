"""What a second worker is worth: one serving process against two that share one engine.

    python -m benchmarks.workers [--rounds 5] [--share 0.25] [--json FILE]

On the deterministic engine at full speed, 64 WebSockets, everything on; the servers take turns.
Two workers, the host with the engine, the store and the load client want five cores. Where there
are fewer, each process of a server gets the same share of a core (cgroups, as root): slow cores,
but enough of them to see what one worker and what two of them get done. Without cgroups, that is
with `--share 0`, the cores that there are bound the tokens/s, and only CPU time tells.

The figures of CPU time tell the limits, too: with a core for each process a server makes at most
1 / (CPU time per token of its busiest process) tokens a second.
"""

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from benchmarks.serving.loads import websocket
from benchmarks.serving.processes import STORE, Run, Server, ours, put
from benchmarks.serving.tables import Figures, Table, medians, print_table
from benchmarks.slow_cores import slowed
from kosmosx_stream.workers.worker import PROGRAM

STREAMS, TOKENS = 64, 200
ROUNDS, SHARE = 5, 0.25
LONGEST_S = 150.0
"""No round begins after so long."""
COLUMNS = (
    "tokens_per_s", "tokens_per_core_s", "cpu_us_a_token", "cpu_us_a_token_workers",
    "cpu_us_a_token_host", "cpu_us_a_token_store", "limit_tokens_per_s", "gap_ms_p99",
)  # fmt: skip


class Workers(Server):
    """A server in several processes."""

    def serving(self) -> dict[str, int]:
        """The host, the workers and the store; alone, the host is the worker."""
        found = {"host": self.pid}
        for child in psutil.Process(self.pid).children():
            if PROGRAM in child.cmdline():
                found[f"worker {child.pid}"] = child.pid
            elif child.name() == STORE:
                found["store"] = child.pid
        if len(found) == len(("host", "store")):
            found["worker"] = found.pop("host")
        return found


def figures(run: Run) -> Figures:
    """What one run comes to; CPU times by role."""
    tokens = run.seen.tokens
    by_role = {"host": 0.0, "store": 0.0, "workers": 0.0}
    for name, used in run.cpu_s.items():
        by_role["workers" if name.startswith("worker") else name] += used
    shares = {f"cpu_us_a_token_{role}": 1e6 * used / tokens for role, used in by_role.items()}
    return {
        "tokens_per_s": tokens / run.seen.seconds,
        "tokens_per_core_s": tokens / sum(run.cpu_s.values()),
        "cpu_us_a_token": run.cpu_us_a_token,
        **shares,
        "limit_tokens_per_s": tokens / max(run.cpu_s.values()),
        "gap_ms_p99": run.seen.gap_ms_p99,
    }


def attempt(server: Server, tokens: int) -> Run | None:
    """One run; none where a starved server or client gave up."""
    try:
        return put(websocket(server, STREAMS, tokens), server)
    except RuntimeError as error:
        print(f"a run failed: {str(error)[-200:]}", file=sys.stderr)
        return None


def measure(folder: Path, rounds: int, share: float) -> Table:
    """Let both take turns."""
    found: dict[str, list[Figures]] = {}
    with contextlib.ExitStack() as stack:
        servers: dict[str, Workers] = {}
        for count in (1, 2):
            environment = {"KOSMOSX_WORKERS": str(count)}
            one = stack.enter_context(ours(folder / str(count), environment=environment))
            server = Workers(one.pid, one.port, key=one.key)
            servers[f"{count} worker{'s' * (count > 1)}"] = server
            attempt(server, 16)  # Imports are not the tokens' cost.
        if share:
            pids = [pid for server in servers.values() for pid in server.serving().values()]
            stack.enter_context(slowed(pids, share))
        began = time.monotonic()
        while rounds and time.monotonic() - began < LONGEST_S:
            rounds -= 1
            for name, server in servers.items():
                if (run := attempt(server, TOKENS)) is not None:
                    found.setdefault(name, []).append(figures(run))
    if len(found) < len(servers):
        raise SystemExit("the machine is too busy: not one run was read to its end")
    return medians(found)


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--share", type=float, default=SHARE, help="of a core; 0 is all there is")
    parser.add_argument("--json", type=Path, help="where the medians are written")
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        table = measure(Path(folder), given.rounds, given.share)
    cores = os.cpu_count()
    each = (
        f"{given.share:g} of a core for each process" if given.share else f"{cores} cores for all"
    )
    title = f"{STREAMS} WebSockets, {TOKENS} tokens each; {each}; medians of {given.rounds} rounds"
    print_table(title, table, COLUMNS, against="1 worker")
    one, two = table.values()
    ratios = {name: two[name] / one[name] for name in COLUMNS if one.get(name)}
    print(
        f"\n2 workers / 1 worker: tokens/s x {ratios['tokens_per_s']:.2f}, tokens per CPU second"
        f" x {ratios['tokens_per_core_s']:.2f}; with a core for each process the limit is"
        f" x {ratios['limit_tokens_per_s']:.2f} ({_busiest(two)} has the most to do).\n"
        f"({time.monotonic() - began:.0f} s)"
    )
    if given.json is not None:
        machine = {"cores": cores, "python": platform.python_version()}
        facts = {"at": time.strftime("%Y-%m-%d %H:%M"), "rounds": given.rounds, "machine": machine}
        found = {**facts, "share": given.share, "medians": table, "ratios": ratios}
        given.json.write_text(json.dumps(found, indent=1))


def _busiest(two: Mapping[str, float]) -> str:
    roles = {
        "the host": two["cpu_us_a_token_host"],
        "the store": two["cpu_us_a_token_store"],
        "each worker": two["cpu_us_a_token_workers"] / 2,
    }
    return max(roles, key=lambda role: roles[role])


if __name__ == "__main__":
    main()
