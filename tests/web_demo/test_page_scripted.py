"""The page in Chromium, its WebSocket played by the test: what a good server rarely does."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Page, Route, WebSocketRoute, expect

import web_demo
from tests.web_demo.demo import ANSWER_TIMEOUT_MS, Demo

SAMPLES = web_demo.FOLDER / "samples"
USAGE = {
    "input_tokens": 12, "output_tokens": 3, "images": 0, "detections": 0,
    "cost_usd": "0.02", "price_version": "test",
}  # fmt: skip
HOSTILE = (
    "<img src=x onerror=window.pwned=1> <script>window.pwned=1</script> "
    "[link](javascript:window.pwned=1) <svg onload=window.pwned=1>"
)


class Script:
    """The server's side of a socket: collects commands, sends what the test says."""

    def __init__(self) -> None:
        self.commands: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sockets: list[WebSocketRoute] = []
        self._sequence = -1
        self._responses = 0

    def __call__(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)
        socket.on_message(lambda text: self.commands.put_nowait(json.loads(text)))

    async def next(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.commands.get(), ANSWER_TIMEOUT_MS / 1000)

    def send(self, kind: str, **fields: Any) -> None:
        self.sockets[-1].send(json.dumps({"type": kind, **fields}))

    def numbered(self, kind: str, **fields: Any) -> None:
        self._sequence += 1
        self.send(kind, sequence_number=self._sequence, **fields)

    def begin(self) -> str:
        self._sequence = -1
        self._responses += 1
        identity = f"resp_{self._responses}"
        self.numbered("response.created", response={"id": identity})
        session = {"id": "sess_1", "status": "open", "opened_at": 1}
        self.numbered("kosmosx:session.opened", session=session)
        return identity

    def say(self, text: str, grounding: list[dict[str, Any]] | None = None) -> None:
        extra = {"kosmosx:grounding": grounding} if grounding else {}
        self.numbered("response.output_text.delta", delta=text, **{"kosmosx:usage": USAGE}, **extra)

    def end(self, kind: str, identity: str, **fields: Any) -> None:
        self.numbered(f"response.{kind}", response={"id": identity, **fields})


async def _say_nothing(route: Route) -> None:
    await route.fulfill(content_type="text/event-stream", body="")


@pytest.fixture
async def script(page: Page) -> Script:
    script = Script()
    await page.route_web_socket("**/v1/responses*", script)
    # The real server knows nothing of what the script says: it must not be asked what has changed.
    await page.route("**/v1/conversations/events", _say_nothing)
    return script


@pytest.fixture
async def demo(page: Page, wordy_server: Any, script: Script) -> AsyncIterator[Demo]:
    demo = Demo(page, wordy_server.base_url)
    await demo.open(wordy_server.key)
    yield demo
    assert demo.problems == []


async def test_html_of_the_model_stays_text(demo: Demo, script: Script) -> None:
    await demo.ask("Break out.")
    await script.next()
    identity = script.begin()
    phrase = {"phrase": HOSTILE[:10], "start": 0, "end": 10, "boxes": [[0, 0, 0.5, 0.5]]}
    script.say(HOSTILE, [phrase])
    script.end("completed", identity)
    await demo.answered(0)
    answer = demo.turn(0).locator(".answer")
    assert await answer.text_content() == HOSTILE
    assert await answer.locator("img, script, svg, a").count() == 0
    assert await demo.page.evaluate("window.pwned") is None


async def test_no_writing_direction_gets_out_of_an_answer(demo: Demo, script: Script) -> None:
    tricks = "a \u202eyrt\u2066 b\u202b \u200f(evil"
    await demo.ask("Turn around.")
    await script.next()
    identity = script.begin()
    phrase = {"phrase": tricks[:6], "start": 0, "end": 6, "boxes": [[0, 0, 0.5, 0.5]]}
    script.say(tricks, [phrase])
    script.end("completed", identity)
    await demo.answered(0)
    answer = demo.turn(0).locator(".answer")
    assert await answer.text_content() == tricks
    for fenced in (".answer", ".phrase", ".question"):
        isolation = f"getComputedStyle(document.querySelector('{fenced}')).unicodeBidi"
        assert "isolate" in await demo.page.evaluate(isolation)


# What a drawing of an answer costs: nodes made; and nodes taken away, blocks that have moved.
COUNT = """() => {
    const made = ["createElement", "createTextNode", "createElementNS"];
    for (const name of made) {
        const make = document[name].bind(document);
        document[name] = (...about) => {
            window.count.made += 1;
            if (about[0] === "article") window.count.drawings += 1;
            return make(...about);
        };
    }
    new MutationObserver((changes) => {
        for (const { removedNodes } of changes) window.count.removed += removedNodes.length;
    }).observe(document.querySelector(".answer"), { subtree: true, childList: true });
    window.count = {};
}"""
BEGIN = """() => {
    Object.assign(window.count, { made: 0, removed: 0, drawings: 0 });
    const log = document.querySelector("#log");
    window.place = (node) => node.getBoundingClientRect().top + log.scrollTop;
    window.finished = [...document.querySelectorAll(".answer > *")].slice(0, -1);
    window.places = window.finished.map(window.place);
}"""
END = """() => ({
    made: window.count.made / window.count.drawings,
    removed: window.count.removed,
    moved: window.finished.filter((node, at) =>
        !node.isConnected || window.place(node) !== window.places[at]).length,
})"""


async def test_a_token_costs_the_same_however_long_the_answer_is(
    demo: Demo, script: Script
) -> None:
    await demo.ask("Hurry.")
    await script.next()
    identity = script.begin()
    script.say("# Title\n\nFirst **bold** and `code`.\n\n")
    answer = demo.turn(0).locator(".answer")
    await expect(answer.locator("strong")).to_have_text("bold")
    await demo.page.evaluate(COUNT)
    costs = []
    for stretch in ("early", "late"):
        await demo.page.evaluate(BEGIN)
        for number in range(100):
            script.say(f"{stretch}{number} ")
            if number % 20 == 19:
                await expect(answer).to_contain_text(f"{stretch}{number}")
        costs.append(await demo.page.evaluate(END))
        script.say("\n\n- a *list*\n- of `two`\n\n> and a quote\n\n" * 40)
        await expect(answer.locator("blockquote")).to_have_count(40 * len(costs))
    assert [(cost["removed"], cost["moved"]) for cost in costs] == [(0, 0), (0, 0)]
    early, late = (cost["made"] for cost in costs)
    assert late < 1.5 * early, "what is finished is drawn anew"
    script.end("completed", identity)
    await demo.answered(0)
    await expect(demo.page.locator("#gaps path")).to_have_attribute("d", re.compile("^M.*L120.0 "))


async def test_boxes_of_several_pictures_say_where_they_are_drawn(
    demo: Demo, script: Script
) -> None:
    which = demo.page.locator("#which")
    await demo.page.locator("#file").set_input_files([SAMPLES / "scene-1.png"])
    await demo.page.locator("#file").set_input_files([SAMPLES / "scene-2.png"])
    await expect(demo.page.locator("#attached li")).to_have_count(2)
    await demo.ask("What do they show?")
    await script.next()
    identity = script.begin()
    box = {"phrase": "a heart", "start": 0, "end": 7, "boxes": [[0.1, 0.1, 0.3, 0.3]]}
    script.say("a heart", [box])
    script.end("completed", identity)
    await demo.answered(0)
    await expect(demo.boxes).to_have_count(1)
    await expect(which).to_contain_text("drawn on the last picture")
    thumbs = demo.turn(0).locator(".thumb")
    await expect(demo.turn(0).locator(".thumb[data-boxed]")).to_have_count(1)
    await thumbs.first.click()
    await expect(demo.boxes).to_have_count(0)
    await expect(which).to_contain_text("drawn on the last picture")
    await demo.page.get_by_role("button", name="Show scene-2.png, with the boxes").click()
    await expect(demo.boxes).to_have_count(1)


async def test_the_picture_of_each_question_has_its_own_boxes(demo: Demo, script: Script) -> None:
    picture = demo.page.locator("#frame img")
    sources = []
    for sample, phrases in enumerate((["a heart"], ["a star", "a cross"])):
        await demo.pick_sample(sample)
        await demo.ask("What is on it?")
        await script.next()
        identity = script.begin()
        for number, phrase in enumerate(phrases):
            box = [0.1, 0.1 + 0.3 * number, 0.3, 0.3 + 0.3 * number]
            script.say(phrase, [{"phrase": phrase, "start": 0, "end": 6, "boxes": [box]}])
        script.end("completed", identity)
        await demo.answered(sample)
        await expect(demo.boxes).to_have_count(len(phrases))
        sources.append(await picture.get_attribute("src") or "")
    await demo.turn(0).locator(".thumb").click()
    await expect(picture).to_have_attribute("src", sources[0])
    await expect(demo.boxes).to_have_count(1)
    await demo.turn(1).locator(".phrase").first.hover()
    await expect(picture).to_have_attribute("src", sources[1])
    await expect(demo.boxes).to_have_count(2)


async def test_what_is_left_of_the_budget_is_shown(demo: Demo, script: Script) -> None:
    left = demo.page.locator('[data-meter="left"]')
    await expect(left).to_be_hidden()
    await demo.ask("What does it cost?")
    await script.next()
    identity = script.begin()
    script.say("Much.")
    budget = {"limit_usd": "15.00", "left_usd": "1.25", "hard": True}
    script.send("kosmosx:budget.warning", budget=budget)
    await expect(demo.page.locator("#notice")).to_contain_text("Less than a tenth")
    script.end("completed", identity, **{"kosmosx:budget": budget})
    await expect(left).to_have_text("$1.25")


async def test_words_and_boxes_are_painted_as_they_arrive(demo: Demo, script: Script) -> None:
    await demo.pick_sample()
    await demo.ask("What do you see?")
    await script.next()
    identity = script.begin()
    answer = demo.turn(0).locator(".answer")
    text = ""
    for count, phrase in enumerate(("a red circle", "a blue square"), 1):
        text += phrase
        box = [0.1 * count, 0.2, 0.1 * count + 0.1, 0.4]
        span = {"start": len(text) - len(phrase), "end": len(text)}
        script.say(phrase, [{"phrase": phrase, **span, "boxes": [box]}])
        await expect(answer).to_contain_text(phrase)
        await expect(demo.boxes).to_have_count(count)
        await expect(demo.turn(0)).to_have_attribute("data-status", "streaming")
        text += " and "
        script.say(" and ")
    script.end("completed", identity)
    await demo.answered(0)


@pytest.mark.parametrize("how", ["button", "escape"])
async def test_stop(demo: Demo, script: Script, how: str) -> None:
    await demo.ask("Tell me a long story.")
    await script.next()
    identity = script.begin()
    script.say("Once upon a time")
    await expect(demo.turn(0)).to_have_attribute("data-status", "streaming")
    await expect(demo.page.locator("#log")).to_have_attribute("aria-busy", "true")
    if how == "button":
        await demo.page.get_by_role("button", name="Stop").click()
    else:
        await demo.page.keyboard.press("Escape")
    assert await script.next() == {"type": "kosmosx:response.cancel", "response_id": identity}
    script.end("incomplete", identity, **{"kosmosx:reason": "cancelled", "kosmosx:usage": USAGE})
    await expect(demo.turn(0).locator(".facts")).to_contain_text("Stopped.")
    await expect(demo.page.get_by_role("button", name="Send")).to_be_visible()


async def test_stop_before_the_server_answered(demo: Demo, script: Script) -> None:
    await demo.ask("Too hasty.")
    await script.next()
    await demo.page.keyboard.press("Escape")
    identity = script.begin()
    assert await script.next() == {"type": "kosmosx:response.cancel", "response_id": identity}


async def test_model_that_loads_is_waited_for(page: Page, wordy_server: Any) -> None:
    async def models(route: Route) -> None:
        model = {"id": "kosmos-x", "kosmosx:context_window": context_window}
        await route.fulfill(json={"object": "list", "data": [model]})

    context_window = None
    await page.route("**/v1/models", models)
    await page.goto(f"{wordy_server.base_url}/#key={wordy_server.key}")
    await expect(page.locator("#status")).to_have_text("The model is loading…")
    await expect(page.locator("#key-form")).to_be_hidden()
    context_window = 20_000
    await expect(page.locator("#question")).to_be_visible()


async def test_keys_of_the_question(demo: Demo, script: Script) -> None:
    await demo.question.fill("one")
    await demo.question.press("Shift+Enter")
    await demo.page.keyboard.type("two")
    assert await demo.question.input_value() == "one\ntwo"
    await demo.question.press("Enter")
    command = await script.next()
    assert command["input"][0]["content"] == [{"type": "input_text", "text": "one\ntwo"}]
    assert command["truncation"] == "auto"
    assert await demo.question.input_value() == ""


async def test_error_is_told_and_the_question_can_be_asked_again(
    demo: Demo, script: Script
) -> None:
    await demo.ask("Hello?")
    await script.next()
    error = {"type": "server_error", "code": "odd", "message": "The oven is cold", "param": None}
    script.send("error", status=503, error=error)
    failure = demo.turn(0).locator(".error")
    await expect(failure).to_contain_text("The oven is cold.")
    await expect(demo.page.locator("#speech")).to_contain_text("The oven is cold.")
    await failure.get_by_role("button", name="Ask again").click()
    assert (await script.next())["input"][0]["content"][0]["text"] == "Hello?"
    await expect(demo.page.locator("article")).to_have_count(1)


async def test_policy_close_shows_its_reason(demo: Demo, script: Script) -> None:
    await demo.ask("Hello?")
    await script.next()
    await script.sockets[-1].close(code=1008, reason="The budget is used up")
    await expect(demo.page.locator("#notice")).to_have_text("The budget is used up.")
    await expect(demo.page.locator("#status")).to_have_attribute("data-state", "refused")
    assert len(script.sockets) == 1


async def test_lost_session_does_not_lose_the_answer(demo: Demo, script: Script) -> None:
    await demo.ask("Hello?")
    await script.next()
    identity = script.begin()
    script.say("Hel")
    await expect(demo.turn(0)).to_have_attribute("data-status", "streaming")
    await expect(demo.page.locator("#log")).to_have_attribute("aria-busy", "true")
    await script.sockets[-1].close(code=1012, reason="restart")
    async with asyncio.timeout(ANSWER_TIMEOUT_MS / 1000):
        while len(script.sockets) < 2:
            await demo.page.evaluate("new Promise(requestAnimationFrame)")
    error = {
        "type": "invalid_request_error",
        "code": "session_closed",
        "message": "closed",
        "param": "session",
    }
    script.send("error", status=409, error=error)
    async with asyncio.timeout(ANSWER_TIMEOUT_MS / 1000):
        while len(script.sockets) < 3:
            await demo.page.evaluate("new Promise(requestAnimationFrame)")
    assert "session_id" not in script.sockets[-1].url
    assert script.sockets[-1].url.endswith(f"response_id={identity}&starting_after=2")
    script.say("lo")
    script.end("completed", identity)
    assert await demo.answered(0) == "Hello"
