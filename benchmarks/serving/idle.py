"""Idle connections, many of them, and the store's memory: what they cost."""

import asyncio
import time
from pathlib import Path

from redis.asyncio import Redis

from benchmarks.serving.load import Stream, connect_all
from benchmarks.serving.loads import TOKENS, websocket
from benchmarks.serving.processes import Server, cpu_s, ours, put
from benchmarks.serving.tables import Table, medians, print_table

IDLE = (1_000, 5_000)
ACTIVE = 64
WATCHED_S = 5.0


def measure(folder: Path, *, rounds: int) -> Table:
    """Print the tables, and return the figures."""
    with ours(folder / "idle") as server:
        put(websocket(server, ACTIVE), server)  # What is made once is not a connection's.
        found = asyncio.run(_crowd(server, rounds))
        return found | asyncio.run(_log_memory(server, folder / "idle" / "data"))


async def _crowd(server: Server, rounds: int) -> Table:
    """Open connections, then let some be served among the many that are idle."""
    alone = [put(websocket(server, ACTIVE), server).figures() for _ in range(rounds)]
    before, found, crowd = server.rss_bytes(), {}, list[Stream]()
    for count in IDLE:
        began, used = time.perf_counter(), cpu_s(server.pid)
        crowd += await connect_all(websocket(server, 0), count - len(crowd))
        found[f"{count} idle"] = {
            "rss_kb_a_session": (server.rss_bytes() - before) / count / 1000,
            "connects_per_s": (count - IDLE.index(count) * IDLE[0]) / (time.perf_counter() - began),
            "connects_per_core_s": (count - IDLE.index(count) * IDLE[0])
            / (cpu_s(server.pid) - used),
            "idle_cpu_percent": await _idle_cpu_percent(server),
        }
    print_table("Idle WebSockets", found, list(found[f"{IDLE[0]} idle"]))
    served = []
    for _ in range(rounds):
        run = asyncio.to_thread(put, websocket(server, ACTIVE), server)
        served.append((await run).figures())
    for stream in crowd:
        stream.close()
    among = f"{ACTIVE} active among {IDLE[-1]} idle"
    table = medians({f"{ACTIVE} active": alone, among: served})
    columns = ("tokens_per_s", "cpu_us_a_token", "first_ms_p50", "gap_ms_p99")
    print_table("In a crowd", table, columns, against=f"{ACTIVE} active")
    return found | table


async def _idle_cpu_percent(server: Server) -> float:
    """Of one core, pings and all."""
    used = cpu_s(server.pid)
    await asyncio.sleep(WATCHED_S)
    return 100 * (cpu_s(server.pid) - used) / WATCHED_S


async def _log_memory(server: Server, data: Path) -> Table:
    """Bytes of the store's memory that a committed token takes, in its log and altogether."""
    async with Redis.from_url(f"unix://{_socket(data)}") as redis:
        logs = set(await redis.keys("kx:*:log:*"))
        before = (await redis.info("memory"))["used_memory"]
        run = await asyncio.to_thread(put, websocket(server, ACTIVE), server)
        after = (await redis.info("memory"))["used_memory"]
        new = set(await redis.keys("kx:*:log:*")) - logs
        logged = sum([await redis.memory_usage(name, samples=0) or 0 for name in new])
    tokens = run.seen.tokens
    found = {
        "the store": {
            "log_bytes_a_token": logged / tokens,
            "memory_bytes_a_token": (after - before) / tokens,
        }
    }
    title = f"Memory of answers of {TOKENS} tokens, their log; and with history and the rest"
    print_table(title, found, list(found["the store"]))
    return found


def _socket(data: Path) -> Path:
    (found,) = data.rglob("*.sock")
    return found
