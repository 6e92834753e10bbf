"""Streaming: the same tiny Llama on vLLM behind `vllm serve`, behind us, and behind nobody.

All three engines are alive at the same time and run in turn; an idle one takes no CPU time.
"""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.serving.load import Load
from benchmarks.serving.loads import MODEL, TOKENS, chat, sse, websocket
from benchmarks.serving.processes import Run, Server, free_port, ours, put, started
from benchmarks.serving.tables import Figures, Table, medians, print_table
from benchmarks.serving.tiny_llama import write_tiny_llama

COLUMNS = (
    "tokens_per_s", "cpu_us_a_token", "cpu_us_a_token_valkey-server", "first_ms_p50",
    "first_ms_p99", "gap_ms_p50", "gap_ms_p99", "wire_bytes_a_token", "tokens_a_piece",
)  # fmt: skip
PEER = "vllm serve, chat completions"
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    # As our own server starts the engine: see kosmosx_stream/engines/vllm_process.py.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "OMP_NUM_THREADS": "1",
}
Contender = Callable[[int], Figures]


@contextlib.contextmanager
def vllm_serve(model: Path, folder: Path) -> Iterator[Server]:
    """`vllm serve` with the engine as we start it, and its access log off."""
    port = free_port()
    # The script `vllm` of vLLM's CPU build does not start; `vllm serve` is this module.
    command = [
        sys.executable, "-m", "vllm.entrypoints.launchers.api_server.entry",
        "--model", str(model), "--served-model-name", MODEL, "--host", "127.0.0.1",
        "--port", str(port), "--seed", "0", "--block-size", "32", "--enforce-eager",
        "--kv-cache-memory-bytes", str(256 * 2**20), "--disable-uvicorn-access-log",
    ]  # fmt: skip
    log = folder / "vllm.out"
    with started(command, port, ready="/health", log=log, environment=ENVIRONMENT) as server:
        yield server


@contextlib.contextmanager
def in_process(model: Path, folder: Path) -> Iterator[Callable[[int], Run]]:
    """AsyncLLM without a server, in a process of its own."""
    with (folder / "in_process.out").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.serving.in_process", str(model)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    answers, questions = process.stdout, process.stdin

    def run(streams: int) -> Run:
        questions.write(f"{streams}\n")
        questions.flush()
        return msgspec.json.decode(answers.readline(), type=Run)

    try:
        while (line := answers.readline()) != "ready\n":
            if not line:
                raise RuntimeError((folder / "in_process.out").read_text()[-3000:])
        yield run
    finally:
        process.kill()
        process.wait()


def measure(folder: Path, *, streams: tuple[int, ...], rounds: int) -> Table:
    """Run all in turn, print a table for each number of streams, and return the medians."""
    model = folder / "tiny_llama"
    write_tiny_llama(model)
    found: Table = {}
    with contextlib.ExitStack() as stack:
        peer = stack.enter_context(vllm_serve(model, folder))
        our = stack.enter_context(ours(folder / "streaming", model=model, engine="vllm"))
        limit = stack.enter_context(in_process(model, folder))
        contenders: dict[str, Contender] = {
            PEER: partial(_run, peer, chat),
            "vllm serve, responses": partial(_run, peer, sse),
            "ours, SSE": partial(_run, our, sse),
            "ours, chat completions": partial(_run, our, chat),
            "ours, WebSocket": partial(_run, our, websocket),
            "AsyncLLM in process": lambda count: limit(count).figures(),
        }
        for contender in contenders.values():
            contender(4)
        for count in streams:
            runs: dict[str, list[Figures]] = {name: [] for name in contenders}
            for turn in range(rounds):
                for name in _rotated([*contenders], turn):
                    runs[name].append(contenders[name](count))
            table = medians(runs)
            print_table(
                f"Streaming, {count} streams of {TOKENS} tokens", table, COLUMNS, against=PEER
            )
            found |= {f"{name} x {count}": figures for name, figures in table.items()}
    return found


def _rotated(names: list[str], turn: int) -> list[str]:
    """Each begins a round in turn, so that none always comes after the same one."""
    first = turn % len(names)
    return names[first:] + names[:first]


def _run(server: Server, ask: Callable[[Server, int], Load], streams: int) -> Figures:
    return put(ask(server, streams), server).figures()
