"""The server alone: how many tokens one core commits and delivers when the engine costs nothing.

Peers: a LiteLLM proxy in front of a stand-in for the engine, and a bare uvicorn WebSocket that
sends bytes of the same length, which is the limit. The deterministic engine runs in our server's
process; its own share is measured apart, and is in our figures.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.serving.load import Load
from benchmarks.serving.loads import MODEL, TOKENS, broadcast, chat, sse, websocket
from benchmarks.serving.processes import Server, free_port, ours, put, started
from benchmarks.serving.tables import Figures, Table, medians, print_table
from conversation.entries import Sampling
from kosmosx_stream.engines.deterministic import DeterministicEngine
from kosmosx_stream.engines.port import Delta, Generate
from kosmosx_stream.settings import Settings

LITELLM = "litellm[proxy]<1.107"
LITELLM_TOKENS = 16
"""It is slow; its cost per token is the same."""
Contender = Callable[[], Figures]
COLUMNS = (
    "tokens_per_core_s", "cpu_us_a_token", "cpu_us_a_token_server", "cpu_us_a_token_valkey-server",
    "tokens_per_s", "tokens_a_piece", "wire_bytes_a_token", "first_ms_p50", "gap_ms_p99",
)  # fmt: skip


def _run(server: Server, load: Load) -> Figures:
    run = put(load, server)
    return {"tokens_per_core_s": run.seen.tokens / sum(run.cpu_s.values()), **run.figures()}


def engine_alone(streams: int) -> Figures:
    """The deterministic engine with nobody behind it."""
    settings = Settings(engine="deterministic", deterministic_length=10**9)
    tokens = 0

    def deliver(delta: Delta) -> None:
        nonlocal tokens
        tokens += len(delta.token_ids)

    async def answer(engine: DeterministicEngine, number: int) -> None:
        request = Generate(
            request_id=str(number), prompt_ids=tuple(range(100, 120)), images=(),
            sampling=Sampling(), max_tokens=TOKENS, cache_salt="",
        )  # fmt: skip
        await engine.generate(request, deliver)

    async def all_at_once() -> float:
        async with DeterministicEngine.running(settings) as engine:
            began = time.process_time()
            await asyncio.gather(*(answer(engine, each) for each in range(streams)))
            return time.process_time() - began

    used = asyncio.run(all_at_once())
    return {"tokens_per_core_s": tokens / used, "cpu_us_a_token": 1e6 * used / tokens}


@contextlib.contextmanager
def litellm_proxy(folder: Path, upstream: int, environment: Path) -> Iterator[Server]:
    """A LiteLLM proxy in a virtual environment of its own, in front of the stand-in."""
    python = install_litellm(environment)
    config = folder / "litellm.yaml"
    config.write_text(
        "model_list:\n"
        f"  - model_name: {MODEL}\n"
        "    litellm_params:\n"
        f"      model: openai/{MODEL}\n"
        f"      api_base: http://127.0.0.1:{upstream}/v1\n"
        "      api_key: none\n"
        "general_settings:\n"
        "  master_key: sk-benchmark\n"
    )
    port = free_port()
    command = [
        str(python.with_name("litellm")), "--config", str(config), "--port", str(port),
        "--host", "127.0.0.1", "--num_workers", "1", "--telemetry", "False",
    ]  # fmt: skip
    quiet = {
        "PYTHONPATH": "",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "PATH": f"{python.parent}:{os.environ['PATH']}",
    }
    log = folder / "litellm.out"
    with started(
        command, port, ready="/health/liveliness", log=log, environment=quiet, key="sk-benchmark"
    ) as server:
        yield server


def install_litellm(environment: Path) -> Path:
    """LiteLLM's interpreter; the first time it is installed from the package index."""
    python = environment / "bin" / "python"
    if not (environment / "bin" / "litellm").exists():
        print(f"installing {LITELLM} into {environment} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", LITELLM], check=True)
    return python


def measure(folder: Path, *, streams: tuple[int, ...], rounds: int, litellm: Path | None) -> Table:
    """Run all in turn, print the tables, and return the medians."""
    found: Table = {}
    with contextlib.ExitStack() as stack:
        our = stack.enter_context(ours(folder / "alone"))
        port = free_port()
        command = [sys.executable, "-m", "benchmarks.serving.stand_in", str(port)]
        log = folder / "stand_in.out"
        bare = stack.enter_context(started(command, port, ready="/", log=log))
        proxy = None
        if litellm is not None:
            proxy = stack.enter_context(litellm_proxy(folder, bare.port, litellm))
        for count in streams:
            contenders: dict[str, Contender] = {
                "ours, WebSocket": partial(_run, our, websocket(our, count)),
                "ours, SSE": partial(_run, our, sse(our, count)),
                "ours, chat completions": partial(_run, our, chat(our, count)),
                "the deterministic engine": partial(engine_alone, count),
                "bare WebSocket broadcast": partial(_run, bare, broadcast(bare, count)),
            }
            if proxy is not None:
                load = chat(proxy, count, LITELLM_TOKENS)
                contenders["LiteLLM proxy"] = partial(_run, proxy, load)
            found |= _rounds(contenders, count, rounds)
    return found


def _rounds(contenders: dict[str, Contender], streams: int, rounds: int) -> Table:
    runs: dict[str, list[Figures]] = {name: [] for name in contenders}
    for contender in contenders.values():
        contender()  # What is imported or compiled at the first request is not the tokens' cost.
    for _ in range(rounds):
        for name, contender in contenders.items():
            runs[name].append(contender())
    table = medians(runs)
    print_table(
        f"Server alone, {streams} streams of {TOKENS} tokens", table, COLUMNS,
        against="LiteLLM proxy",
    )  # fmt: skip
    return {f"{name} x {streams}": medians for name, medians in table.items()}
