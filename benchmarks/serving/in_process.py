"""The limit of streaming: AsyncLLM in this process, and nobody to send anything to.

    python -m benchmarks.serving.in_process MODEL

Reads the number of streams, a line each, from standard input; writes a line of JSON for each.
"""

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from benchmarks.serving.load import summary
from benchmarks.serving.loads import TOKENS
from conversation.entries import Sampling
from kosmosx_stream.engines import engine_log, vllm_process
from kosmosx_stream.engines.port import Generate
from kosmosx_stream.engines.vllm_process import prompt, sampling_params

PROMPT_IDS = tuple(range(300, 330))


async def answer(llm: object, name: str, times: list[float]) -> int:
    """One answer; notes when its pieces came, and returns its tokens."""
    request = Generate(
        request_id=name,
        prompt_ids=PROMPT_IDS,
        images=(),
        sampling=Sampling(),
        max_tokens=TOKENS,
        cache_salt="benchmark",
    )
    tokens = 0
    generate = llm.generate  # type: ignore[attr-defined]
    async for output in generate(prompt(request, (), ()), sampling_params(request), name):
        tokens += len(output.outputs[0].token_ids)
        times.append(time.perf_counter())
    return tokens


async def run(llm: object, streams: int) -> dict[str, object]:
    times: list[list[float]] = [[] for _ in range(streams)]
    used, began = time.process_time(), time.perf_counter()
    names = [f"{began}-{each}" for each in range(streams)]
    counts = await asyncio.gather(*map(answer, [llm] * streams, names, times))
    seconds = time.perf_counter() - began
    pieces = sum(map(len, times))
    seen = summary(times, began, seconds, tokens=sum(counts), pieces=pieces, wire_bytes=0)
    return {"seen": msgspec.to_builtins(seen), "cpu_s": {"server": time.process_time() - used}}


async def main(model: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = engine_log.write_config(Path(folder) / "vllm.log")
        # As our server starts it, but with vLLM's own way of handing out what was generated.
        llm = await asyncio.to_thread(vllm_process.start, model, None, config)
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await run(llm, int(line))), flush=True)
        llm.shutdown()


if __name__ == "__main__":
    # As the servers do.
    import uvloop

    uvloop.run(main(Path(sys.argv[1])))
