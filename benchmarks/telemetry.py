"""What telemetry costs on the path of a token: `python -m benchmarks.telemetry [--json FILE]`.

Two servers without a model, one that measures and sends everything (`/metrics`, OTLP, one trace in
ten) and one that measures nothing, take the same load in turn. What is compared is the server's CPU
time a token; the ratio is the median over pairs, and who comes first alternates.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.serving.load import run
from benchmarks.serving.loads import sse
from benchmarks.serving.processes import Server, cpu_s, ours

STREAMS = (1, 32)
TOKENS = 256
"""Of an answer. Where there is one stream, each token has a commit to itself."""
SECONDS = 120.0
MIN_PAIRS = 3
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


def put(server: Server, streams: int) -> float:
    """Put the load on it; returns its CPU time in microseconds a token."""
    before = cpu_s(server.pid)
    seen = asyncio.run(run(sse(server, streams, TOKENS)))
    return 1e6 * (cpu_s(server.pid) - before) / seen.tokens


def compare(on: Server, off: Server, streams: int, seconds: float) -> dict[str, object]:
    """Pairs of runs until the time is up, a few at the least."""
    found: dict[str, list[float]] = {"on": [], "off": []}
    until = time.monotonic() + seconds
    while len(found["on"]) < MIN_PAIRS or time.monotonic() < until:
        turns = [("on", on), ("off", off)]
        for name, server in turns[:: -1 if len(found["on"]) % 2 else 1]:
            found[name].append(put(server, streams))
    ratios = [on_us / off_us for on_us, off_us in zip(found["on"], found["off"], strict=True)]
    return {
        "streams": streams,
        "pairs": len(ratios),
        "off_us_a_token": round(statistics.median(found["off"]), 1),
        "on_us_a_token": round(statistics.median(found["on"]), 1),
        "ratio": round(statistics.median(ratios), 4),
        "ratio_of_sums": round(sum(found["on"]) / sum(found["off"]), 4),
        "quartiles": [round(each, 4) for each in statistics.quantiles(ratios)],
    }


def main(seconds: float, target: Path | None) -> None:
    """Print a line a load, and write them as JSON."""
    rows = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(collector())
        sent = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "KOSMOSX_TRACE_RATIO": "0.1"}
        on = stack.enter_context(ours(folder / "on", environment=sent))
        off = stack.enter_context(ours(folder / "off", environment=OFF))
        for server in (on, off):  # Both are warm before either is measured.
            put(server, STREAMS[-1])
        for streams in STREAMS:
            row = compare(on, off, streams, seconds / len(STREAMS))
            rows.append(row)
            print(
                f"{streams:>4} streams, {row['pairs']} pairs: {row['off_us_a_token']} us a token "
                f"without, {row['on_us_a_token']} with, ratio {row['ratio']} (aim {TARGET})"
            )
    if target is not None:
        target.write_text(json.dumps({"spans_bytes": Collector.spans_bytes, "loads": rows}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.telemetry")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    main(given.seconds, given.json)
