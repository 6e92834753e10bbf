"""How the page keeps up with 200 tokens a second on a slow laptop.

    python -m benchmarks.page [--seconds 10] [--slowdown 4] [--json page.json]

A real server that says words and never stops, a real Chromium, one answer in paragraphs. The words
wait in the page until they are due, so that the server's own pace is no part of the answer.

`early` and `late` in the answer are counted in frames, not by the clock: 200 tokens in 60 frames,
however long they take here. Measured is processor time of the page's main thread, which other
programs do not take away (they make it up to twice as long, by sharing caches and cores); the
laptop takes `--slowdown` times as long. `busy_share` of each second; work in a frame
(`frame_p50_ms`, `frame_p95_ms`), and the share of frames whose work does not fit into 1/60 s
(`frames_late`); changes in blocks that were done (`touched`), and lines of them that moved
(`moved`).

`live` goes by the clock, with Chromium's own slowing down: what a reader sees, and only meaningful
on a machine with nothing else to do. Takes about half a minute there.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright, expect

sys.path.insert(0, str(Path(__file__).parents[1]))

from kosmosx_stream.kosmosx import nano
from tests.server_process import ServerProcess
from tests.web_demo.conftest import CHROMIUM
from tests.web_demo.demo import ANSWER_TIMEOUT_MS, Demo

NANO = Path(nano.__file__).parent / "checkpoint"
TOKENS_PER_S = 200
FRAMES_PER_S = 60
ENGINE_RATE = 500
"""Tokens a second that the server says: more than are due."""
LENGTH = 1_000_000
"""Mean tokens of an answer: it is the reader who stops."""
WINDOW = 24_000
"""Tokens; an answer takes a quarter of them: thirty seconds."""
FRAMES_TIMEOUT_S = 120
TRACED = ["toplevel", "devtools.timeline"]
TASK = "ThreadControllerImpl::RunTask"

# Hands the server's events on when they are due, by frames or by the clock. The engine knows no
# paragraphs: each 60th word begins one, as in what models write.
PACE = r"""([perFrame, perSecond]) => {
    const Real = WebSocket;
    const pace = (window.pace = { frames: 0, handed: 0, starved: 0, clock: false });
    const waiting = [];
    let handler = null, due = 0, last = 0;
    const paragraph = (event) => event.data.includes("output_text.delta") && pace.handed % 60 === 0
        ? { data: event.data.replace('"delta":"', '"delta":"\\n\\n') } : event;
    const hand = (more) => {
        for (due += more; due >= 1; due -= 1) {
            if (!waiting.length) return void ((due = 0), (pace.starved += 1));
            pace.handed += 1;
            handler?.(paragraph(waiting.shift()));
        }
    };
    window.WebSocket = class extends Real {
        set onmessage(given) { handler = given; super.onmessage = (event) => waiting.push(event); }
    };
    const frame = () => {
        pace.frames += 1;
        if (!pace.clock) hand(perFrame);
        requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    setInterval(() => {
        const now = performance.now();
        if (pace.clock) hand((perSecond * (now - last)) / 1000);
        last = now;
    }, 5);
}"""
# Changes in blocks that were done before: all but the last one of the answer.
WATCH = """() => {
    const answer = document.querySelector(".answer");
    const log = document.querySelector("#log");
    const seen = (window.seen = { touched: 0, frames: [], long: [] });
    const blocks = () => [...answer.children];
    const place = (block) => block.offsetTop + "," + block.offsetHeight;
    let done = new Set(blocks().slice(0, -1));
    const blockOf = (node) => { while (node && node.parentNode !== answer) node = node.parentNode; return node; };
    new MutationObserver((changes) => {
        for (const { target, removedNodes } of changes)
            for (const node of [blockOf(target), ...removedNodes]) seen.touched += done.has(node);
        done = new Set(blocks().slice(0, -1));
    }).observe(answer, { subtree: true, childList: true, characterData: true, attributes: true });
    new PerformanceObserver((list) => list.getEntries().forEach((each) => seen.long.push(each.duration)))
        .observe({ type: "longtask" });
    let last = performance.now();
    const frame = (now) => { seen.frames.push(now - last); last = now; requestAnimationFrame(frame); };
    requestAnimationFrame(frame);
    window.begin = () => {
        const done = blocks().slice(0, -1).map((block) => [block, place(block)]);
        Object.assign(seen, { touched: 0, done, frames: [], long: [], since: performance.now(), handed: pace.handed, starved: pace.starved });
    };
    window.end = () => {
        const seconds = (performance.now() - seen.since) / 1000;
        const slowest = seen.frames.toSorted((a, b) => a - b);
        return {
            touched: seen.touched,
            moved: seen.done.filter(([block, before]) => place(block) !== before).length,
            tokens_per_s: (pace.handed - seen.handed) / seconds,
            frames_per_s: seen.frames.length / seconds,
            frame_p95_ms: slowest[Math.floor(slowest.length * 0.95)],
            long_tasks: seen.long.length,
            starved: pace.starved - seen.starved,
        };
    };
}"""  # noqa: E501

FRAMES = """(count) => new Promise((done) => {
    window.begin();
    const frame = () => (count-- ? requestAnimationFrame(frame) : done(window.end()));
    frame();
})"""


def long_model(folder: Path) -> Path:
    """The bundled model's words with a window for a long answer; nothing computes with it."""
    shutil.copytree(NANO, folder)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["max_position_embeddings"] = WINDOW
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def work_ms(trace: bytes) -> list[float]:
    """Milliseconds of processor time of the page's main thread, frame by frame."""
    events = json.loads(trace)["traceEvents"]
    drawn = [each for each in events if each["name"] == "FireAnimationFrame"]
    threads = [(each["pid"], each["tid"]) for each in drawn]
    main = max(set(threads), key=threads.count)
    of_main = [each for each in events if (each["pid"], each["tid"]) == main]
    tasks = sorted(
        (each for each in of_main if each["name"] == TASK and "tdur" in each),
        key=lambda task: task["ts"],
    )
    callbacks = sorted(each["ts"] for each in of_main if each["name"] == "FireAnimationFrame")
    frames: list[float] = []
    for task in tasks:
        began = False
        while callbacks and callbacks[0] < task["ts"] + task["dur"]:
            began |= callbacks.pop(0) >= task["ts"]
        if began:
            frames.append(0)
        if frames:
            frames[-1] += task["tdur"] / 1000
    return frames[:-1]


def of_laptop(frames: Sequence[float], slowdown: float) -> dict[str, float]:
    """What the work, frame by frame, is on a slow laptop."""
    slow = sorted(slowdown * each for each in frames)
    return {
        "busy_share": statistics.fmean(slow) * FRAMES_PER_S / 1000,
        "frame_p50_ms": statistics.median(slow),
        "frame_p95_ms": slow[int(len(slow) * 0.95)],
        "frames_late": sum(each > 1000 / FRAMES_PER_S for each in slow) / len(slow),
    }


async def by_frames(
    browser: Browser, page: Page, seconds: float, slowdown: float
) -> dict[str, float]:
    """Some seconds of sixty frames each, however long they take."""
    frames = int(FRAMES_PER_S * seconds)
    await browser.start_tracing(page=page, categories=TRACED)
    seen = await asyncio.wait_for(page.evaluate(FRAMES, frames), FRAMES_TIMEOUT_S)
    work = work_ms(await browser.stop_tracing())
    kept = {name: seen[name] for name in ("touched", "moved", "starved")}
    return of_laptop(work, slowdown) | kept


async def by_clock(page: Page, seconds: float, slowdown: float) -> dict[str, float]:
    """Some seconds with a processor that Chromium slows down."""
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Emulation.setCPUThrottlingRate", {"rate": slowdown})
    await page.evaluate("pace.clock = true")
    await page.evaluate("window.begin()")
    await asyncio.sleep(seconds)
    return dict(await page.evaluate("window.end()"))


async def measure(server: ServerProcess, seconds: float, slowdown: float) -> dict[str, Any]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        given = json.dumps([TOKENS_PER_S / FRAMES_PER_S, TOKENS_PER_S])
        await page.add_init_script(f"({PACE})({given})")
        demo = Demo(page, server.base_url)
        await demo.open(server.key)
        await demo.ask("Say much.")
        await expect(demo.turn(0).locator(".answer")).to_have_text(
            re.compile(".{2000}"), timeout=ANSWER_TIMEOUT_MS
        )
        await page.evaluate(WATCH)
        found: dict[str, Any] = {}
        for name in ("early", "late"):
            found[name] = await by_frames(browser, page, seconds / 2, slowdown)
        found["live"] = await by_clock(page, seconds / 2, slowdown)
        await browser.close()
        return found | {"problems": demo.problems}


def show(found: dict[str, Any]) -> None:
    for name in ("early", "late", "live"):
        figures = (f"{figure} {value:.3g}" for figure, value in found[name].items())
        print(f"{name:6}" + "  ".join(figures))
    print(*found["problems"], sep="\n")


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
            KOSMOSX_DETERMINISTIC_RATE=str(ENGINE_RATE),
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
    print(f"{TOKENS_PER_S} tokens/s on a laptop that is {asked.slowdown:g} times as slow")
    show(found)
    if asked.json:
        about = {"tokens_per_s": TOKENS_PER_S, "slowdown": asked.slowdown, "cores": os.cpu_count()}
        asked.json.write_text(json.dumps(about | found, indent=2))


if __name__ == "__main__":
    main()
