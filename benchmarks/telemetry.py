"""What telemetry costs on the path of a token: `python -m benchmarks.telemetry [--json FILE]`.

Two servers without a model, one that measures and sends everything (`/metrics`, OTLP, one trace in
ten) and one that measures nothing, take the same load at the same time, again and again: whatever
else the machine does then, it does to both. What is compared is the server's CPU time a token; the
figure is the median of the rounds' ratios, with the interval that holds it at 95 %.
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
SECONDS = 180.0
MIN_ROUNDS = 8
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


def compare(on: Server, off: Server, streams: int, seconds: float) -> dict[str, object]:
    """Rounds until the time is up, a few at the least."""
    rounds: list[tuple[float, float]] = []
    until = time.monotonic() + seconds
    while len(rounds) < MIN_ROUNDS or time.monotonic() < until:
        if len(rounds) % 2:  # Who is asked first alternates.
            on_us, off_us = asyncio.run(put([on, off], streams))
        else:
            off_us, on_us = asyncio.run(put([off, on], streams))
        rounds.append((on_us, off_us))
    ratios = sorted(on_us / off_us for on_us, off_us in rounds)
    return {
        "streams": streams,
        "rounds": len(rounds),
        "off_us_a_token": round(statistics.median(off_us for _, off_us in rounds), 1),
        "on_us_a_token": round(statistics.median(on_us for on_us, _ in rounds), 1),
        "ratio": round(statistics.median(ratios), 4),
        "interval": [round(each, 4) for each in median_interval(ratios)],
    }


def median_interval(ordered: Sequence[float]) -> tuple[float, float]:
    """What holds the median at 95 %, by rank: of n values, about sqrt(n) to either side."""
    middle, away = (len(ordered) - 1) / 2, 1.96 * math.sqrt(len(ordered)) / 2
    low, high = max(0, math.floor(middle - away)), math.ceil(middle + away)
    return ordered[low], ordered[min(high, len(ordered) - 1)]


def main(seconds: float, target: Path | None) -> None:
    """Print a line a load, and write them as JSON."""
    rows = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(collector())
        sent = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "KOSMOSX_TRACE_RATIO": "0.1"}
        on = stack.enter_context(ours(folder / "on", environment=sent))
        off = stack.enter_context(ours(folder / "off", environment=OFF))
        asyncio.run(put([on, off], STREAMS[-1]))  # Both are warm before either is measured.
        for streams in STREAMS:
            row = compare(on, off, streams, seconds / len(STREAMS))
            rows.append(row)
            print(
                f"{streams:>4} streams, {row['rounds']} rounds: {row['off_us_a_token']} us a token "
                f"without, {row['on_us_a_token']} with, ratio {row['ratio']} "
                f"{row['interval']} (aim {TARGET})",
                flush=True,
            )
    if target is not None:
        target.write_text(json.dumps({"spans_bytes": Collector.spans_bytes, "loads": rows}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.telemetry")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    main(given.seconds, given.json)
