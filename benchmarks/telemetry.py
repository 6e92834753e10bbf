"""What telemetry costs on the path of a token: `python -m benchmarks.telemetry [--json FILE]`.

Two servers without a model, one that measures and sends everything (`/metrics`, OTLP, one trace in
ten) and one that measures nothing, take the same load at the same time, again and again: whatever
else the machine does then, it does to both. What is compared is the server's CPU time a token, by
the median of the rounds' ratios. Two equal processes differ by some percent for as long as they
live (where their memory lies, how they hash): so each pair is soon replaced by a new one, and who
of them is started first alternates. The figure is the median over the pairs, with the interval that
holds it at 95 %.
"""

import argparse
import asyncio
import contextlib
import json
import math
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.serving.load import run
from benchmarks.serving.loads import sse
from benchmarks.serving.processes import Server, cpu_s, ours

STREAMS = (1, 32)
TOKENS = 256
"""Of an answer. Where there is one stream, each token has a commit to itself."""
SECONDS = 240.0
PAIR_S = 4.0
"""So long a pair of servers takes each load."""
MIN_PAIRS = 3
MIN_ROUNDS = 4
TARGET = 1.03
OFF = {"KOSMOSX_METRICS": "0"}


class Collector(BaseHTTPRequestHandler):
    """Takes whatever is sent over OTLP."""

    protocol_version = "HTTP/1.1"
    spans_bytes = 0

    def do_POST(self) -> None:
        taken = len(self.rfile.read(int(self.headers["content-length"])))
        if self.path.endswith("traces"):
            Collector.spans_bytes += taken
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@contextlib.contextmanager
def collector() -> Iterator[str]:
    """Its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def put(servers: Sequence[Server], streams: int) -> list[float]:
    """Put the load on each at once; returns their CPU times in microseconds a token."""
    before = [cpu_s(server.pid) for server in servers]
    seen = await asyncio.gather(*(run(sse(server, streams, TOKENS)) for server in servers))
    used = [cpu_s(server.pid) - began for server, began in zip(servers, before, strict=True)]
    return [1e6 * cpu / each.tokens for cpu, each in zip(used, seen, strict=True)]


def compare(on: Server, off: Server, streams: int) -> list[tuple[float, float]]:
    """What a token costs with and without, for a while."""
    rounds: list[tuple[float, float]] = []
    until = time.monotonic() + PAIR_S
    while len(rounds) < MIN_ROUNDS or time.monotonic() < until:
        if len(rounds) % 2:  # Who is asked first alternates.
            on_us, off_us = asyncio.run(put([on, off], streams))
        else:
            off_us, on_us = asyncio.run(put([off, on], streams))
        rounds.append((on_us, off_us))
    return rounds


def compare_pair(url: str, *, on_first: bool) -> dict[int, list[tuple[float, float]]]:
    """Rounds of each load on a new pair of servers."""
    sent = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "KOSMOSX_TRACE_RATIO": "0.1"}
    environments = {"on": sent, "off": OFF}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = {
            name: stack.enter_context(ours(folder / name, environment=environments[name]))
            for name in (("on", "off") if on_first else ("off", "on"))
        }
        on, off = servers["on"], servers["off"]
        asyncio.run(put([on, off], STREAMS[-1]))  # Both are warm before either is measured.
        return {streams: compare(on, off, streams) for streams in STREAMS}


def summary(streams: int, pairs: list[list[tuple[float, float]]]) -> dict[str, object]:
    """The figures of one load over all pairs."""
    rounds = [each for pair in pairs for each in pair]
    ratios = sorted(statistics.median(on / off for on, off in pair) for pair in pairs)
    return {
        "streams": streams,
        "pairs": len(pairs),
        "rounds": len(rounds),
        "off_us_a_token": round(statistics.median(off for _, off in rounds), 1),
        "on_us_a_token": round(statistics.median(on for on, _ in rounds), 1),
        "ratio": round(statistics.median(ratios), 4),
        "interval": [round(each, 4) for each in median_interval(ratios)],
        "ratios": [round(each, 4) for each in ratios],
    }


def median_interval(ordered: Sequence[float]) -> tuple[float, float]:
    """What holds the median at 95 %, by rank: of n values, about sqrt(n) to either side."""
    middle, away = (len(ordered) - 1) / 2, 1.96 * math.sqrt(len(ordered)) / 2
    low, high = max(0, math.floor(middle - away)), math.ceil(middle + away)
    return ordered[low], ordered[min(high, len(ordered) - 1)]


def main(seconds: float, target: Path | None) -> None:
    """Print a line a load, and write them as JSON."""
    pairs: list[dict[int, list[tuple[float, float]]]] = []
    until = time.monotonic() + seconds
    with collector() as url:
        while len(pairs) < MIN_PAIRS or time.monotonic() < until:
            pairs.append(compare_pair(url, on_first=len(pairs) % 2 == 0))
    rows = [summary(streams, [pair[streams] for pair in pairs]) for streams in STREAMS]
    for row in rows:
        print(
            f"{row['streams']:>4} streams, {row['pairs']} pairs, {row['rounds']} rounds: "
            f"{row['off_us_a_token']} us a token without, {row['on_us_a_token']} with, "
            f"ratio {row['ratio']} {row['interval']} (aim {TARGET})"
        )
    if target is not None:
        target.write_text(json.dumps({"spans_bytes": Collector.spans_bytes, "loads": rows}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.telemetry")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    main(given.seconds, given.json)
