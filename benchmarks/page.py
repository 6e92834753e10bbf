"""How the page keeps up with 200 tokens a second on a slow laptop.

    python -m benchmarks.page [--seconds 10] [--slowdown 4] [--json page.json]

A real server that says 200 words a second and never stops, a real Chromium whose processor is
slowed down, and one answer. Measured in the page, in two stretches, at the answer's beginning and
when it is long: tokens that arrived, frames that were painted and how long they took, tasks of more
than 50 ms, lines that were full and moved, and processor time of the page's thread for each token
(which other programs do not change; throttling does, by its factor). Takes about half a minute.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.async_api import CDPSession, Page, async_playwright, expect

sys.path.insert(0, str(Path(__file__).parents[1]))

from kosmosx_stream.kosmosx import nano
from tests.server_process import ServerProcess
from tests.web_demo.conftest import CHROMIUM
from tests.web_demo.demo import ANSWER_TIMEOUT_MS, Demo

NANO = Path(nano.__file__).parent / "checkpoint"
TOKENS_PER_S = 200
LENGTH = 1_000_000
"""Mean tokens of an answer: it is the reader who stops."""
WINDOW = 16_000
"""Tokens; an answer takes a quarter of them: twenty seconds."""
COLUMNS = (
    "cpu_ms_per_token",
    "tokens_per_s",
    "frames_per_s",
    "frame_p95_ms",
    "long_tasks",
    "longest_ms",
    "moved",
)

WATCH = """() => {
    const seen = (window.seen = { frames: [], long: [] });
    const note = ({ duration }) => seen.long.push(duration);
    new PerformanceObserver((list) => list.getEntries().forEach(note))
        .observe({ type: "longtask" });
    let last = performance.now();
    const frame = (now) => {
        seen.frames.push(now - last);
        last = now;
        requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
}"""
BEGIN = """() => {
    const log = document.querySelector("#log");
    const out = document.querySelector("[data-meter=output]");
    const range = document.createRange();
    range.selectNodeContents(document.querySelector(".answer"));
    const lines = () => [...range.getClientRects()];
    // The lines that are full: what comes must leave them where they are.
    const full = lines().length - 1;
    const place = ({ top, left }) => [Math.round(top + log.scrollTop), Math.round(left)].join();
    window.tokens = () => Number(out.textContent.replace(/[^0-9]/g, ""));
    window.lines = () => lines().slice(0, full).map(place);
    window.places = window.lines();
    Object.assign(window.seen, {
        frames: [], long: [], since: performance.now(), tokens: window.tokens(),
    });
}"""
END = """() => {
    const { frames, long, since, tokens } = window.seen;
    const seconds = (performance.now() - since) / 1000;
    const now = window.lines();
    const sorted = frames.toSorted((a, b) => a - b);
    return {
        tokens: window.tokens() - tokens,
        tokens_per_s: (window.tokens() - tokens) / seconds,
        frames_per_s: frames.length / seconds,
        frame_p95_ms: sorted[Math.floor(frames.length * 0.95)],
        long_tasks: long.length,
        longest_ms: Math.max(0, ...long),
        moved: window.places.filter((place, at) => place !== now[at]).length,
    };
}"""


def long_model(folder: Path) -> Path:
    """The bundled model's words with a window for a long answer; nothing computes with it."""
    shutil.copytree(NANO, folder)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["max_position_embeddings"] = WINDOW
    (folder / "config.json").write_text(json.dumps(config))
    return folder


async def processor_s(devtools: CDPSession) -> float:
    """What the page's own thread has computed so far, whoever else wanted the processor."""
    metrics = (await devtools.send("Performance.getMetrics"))["metrics"]
    return float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))


async def stretch(page: Page, devtools: CDPSession, seconds: float) -> dict[str, float]:
    """What was seen in some seconds."""
    await page.evaluate(BEGIN)
    before_s = await processor_s(devtools)
    await asyncio.sleep(seconds)
    after_s = await processor_s(devtools)
    seen = dict(await page.evaluate(END))
    tokens = seen.pop("tokens")
    return {"cpu_ms_per_token": 1000 * (after_s - before_s) / max(1, tokens)} | seen


async def measure(server: ServerProcess, seconds: float, slowdown: float) -> dict[str, Any]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        demo = Demo(page, server.base_url)
        await demo.open(server.key)
        devtools = await page.context.new_cdp_session(page)
        await devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
        await devtools.send("Emulation.setCPUThrottlingRate", {"rate": slowdown})
        await page.evaluate(WATCH)
        await demo.ask("Say much.")
        await expect(demo.turn(0).locator(".answer")).to_have_text(
            re.compile(".{200}"), timeout=ANSWER_TIMEOUT_MS
        )
        early = await stretch(page, devtools, seconds / 2)
        late = await stretch(page, devtools, seconds / 2)
        await browser.close()
        return {"early": early, "late": late, "problems": demo.problems}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--slowdown", type=float, default=4)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = ServerProcess(
            Path(folder) / "data",
            KOSMOSX_MODEL=str(long_model(Path(folder) / "model")),
            KOSMOSX_ENGINE="deterministic",
            KOSMOSX_DETERMINISTIC_RATE=str(TOKENS_PER_S),
            KOSMOSX_DETERMINISTIC_LENGTH=str(LENGTH),
            KOSMOSX_MAX_OUTPUT_TOKENS=str(WINDOW),
            KOSMOSX_MAX_MODEL_LEN=str(WINDOW),
        )
        (Path(folder) / "data").mkdir()
        server.start()
        try:
            found = asyncio.run(measure(server, asked.seconds, asked.slowdown))
        finally:
            server.stop()
    print(f"{TOKENS_PER_S} tokens/s, processor slowed down {asked.slowdown:g} times")
    print(f"{'':8}" + "".join(f"{name:>18}" for name in COLUMNS))
    for name in ("early", "late"):
        print(f"{name:8}" + "".join(f"{found[name][each]:18.2f}" for each in COLUMNS))
    print(*found["problems"], sep="\n")
    if asked.json:
        about = {"tokens_per_s": TOKENS_PER_S, "slowdown": asked.slowdown, "cores": os.cpu_count()}
        asked.json.write_text(json.dumps(about | found, indent=2))


if __name__ == "__main__":
    main()
