"""The page in Chromium, against the real server."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Browser, Page, WebSocketRoute, expect

from tests.web_demo.demo import Demo

DESCRIBE = "Describe the picture in detail."
DELTAS_BEFORE_DROP = 4
PHONE = {"width": 360, "height": 740}


@pytest.fixture
async def demo(page: Page, server: Any) -> AsyncIterator[Demo]:
    """The page, watched: whatever a test does, nothing may go wrong in the browser."""
    demo = Demo(page, server.base_url)
    yield demo
    assert demo.problems == []


# ── a visit ────────────────────────────────────────────────────────────────────────────────────


async def test_answer_streams_with_boxes(demo: Demo, server: Any) -> None:
    await demo.open(server.key)
    await demo.pick_sample()
    await demo.ask(DESCRIBE)
    answer = await demo.answered(0)

    # How many deltas come, and how many states get painted, is the machine's business.
    deltas = demo.events("response.output_text.delta")
    assert len(deltas) > 1, "the text came all at once"
    text = "".join(delta["delta"] for delta in deltas)
    assert answer.split() == text.split()
    grounded = [g for delta in deltas for g in delta.get("kosmosx:grounding", [])]
    assert await demo.phrases.all_text_contents() == [g["phrase"] for g in grounded] != []
    assert await demo.boxes.count() > 0
    assert await demo.page.locator("#log").get_attribute("aria-busy") == "false"
    await expect(demo.page.locator("#speech")).to_contain_text(text.split()[-1])


async def test_boxes_lie_where_the_model_saw_them(demo: Demo, server: Any) -> None:
    await demo.open(server.key)
    await demo.pick_sample()
    await demo.ask(DESCRIBE)
    await demo.answered(0)
    grounding = demo.events("response.content_part.done")[0]["part"]["kosmosx:grounding"]
    x0, y0, x1, y1 = grounding[0]["boxes"][0]
    frame = await demo.page.locator("#frame img").bounding_box()
    box = await demo.page.locator('.box[data-ref="turn-1-1"] .line').first.bounding_box()
    assert frame is not None
    assert box is not None
    assert box["x"] == pytest.approx(frame["x"] + x0 * frame["width"], abs=4)
    assert box["y"] == pytest.approx(frame["y"] + y0 * frame["height"], abs=4)
    assert box["width"] == pytest.approx((x1 - x0) * frame["width"], abs=8)
    assert box["height"] == pytest.approx((y1 - y0) * frame["height"], abs=8)


async def test_phrase_and_box_light_up_together(demo: Demo, server: Any) -> None:
    await demo.open(server.key)
    await demo.pick_sample()
    await demo.ask(DESCRIBE)
    await demo.answered(0)
    ref = await demo.phrases.first.get_attribute("data-ref")
    lit_boxes, lit_phrases = demo.page.locator(".box.lit"), demo.page.locator(".phrase.lit")

    await demo.phrases.first.hover()
    await expect(lit_boxes.first).to_have_attribute("data-ref", ref or "")
    await demo.page.mouse.move(5, 5)
    await expect(lit_boxes).to_have_count(0)

    await demo.page.locator(f'.tag[data-ref="{ref}"]').first.hover()
    await expect(lit_phrases.first).to_have_attribute("data-ref", ref or "")
    await demo.page.mouse.move(5, 5)
    await expect(lit_phrases).to_have_count(0)

    await demo.phrases.first.focus()
    await expect(lit_boxes.first).to_have_attribute("data-ref", ref or "")
    assert "box 1" in (await demo.phrases.first.get_attribute("aria-label") or "")


async def test_phrases_are_touched_and_boxes_put_away(browser: Browser, server: Any) -> None:
    context = await browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    demo = Demo(await context.new_page(), server.base_url)
    await demo.open(server.key)
    await demo.pick_sample()
    await demo.ask(DESCRIBE)
    await demo.answered(0)
    ref = await demo.phrases.last.get_attribute("data-ref")
    await demo.phrases.last.tap()
    await expect(demo.page.locator(".box.lit").first).to_have_attribute("data-ref", ref or "")
    await demo.page.locator(".tag").first.tap()
    await expect(demo.phrases.first).to_be_focused()
    await expect(demo.phrases.first).to_have_class(re.compile("lit"))
    toggle = demo.page.get_by_role("button", name="Boxes", exact=True)
    await toggle.tap()
    await expect(demo.boxes).to_have_count(0)
    await expect(toggle).to_have_attribute("aria-pressed", "false")
    await toggle.tap()
    await expect(demo.boxes).not_to_have_count(0)
    assert demo.problems == []
    await context.close()


async def test_follow_up_usage_and_receipt(demo: Demo, server: Any) -> None:
    await demo.open(server.key)
    await demo.pick_sample(1)
    await demo.ask(DESCRIBE)
    await demo.answered(0)
    await demo.ask("How many objects are there?")
    assert await demo.answered(1)

    first, second = demo.questions()
    assert first["conversation"] == second["conversation"]
    assert [part["type"] for part in second["input"][0]["content"]] == ["input_text"]

    usages = [event["response"]["kosmosx:usage"] for event in demo.events("response.completed")]
    total = sum(Decimal(usage["cost_usd"]) for usage in usages)
    assert total > 0
    assert Decimal((await demo.meter("cost")).removeprefix("$")) == total
    for name, field in (("input", "input_tokens"), ("output", "output_tokens")):
        tokens = sum(usage[field] for usage in usages)
        assert int((await demo.meter(name)).replace(",", "")) == tokens > 0
    assert await demo.meter("images") == "1"

    await demo.page.locator("#close-session").click()
    receipt = demo.page.locator("#receipt")
    await expect(receipt).to_be_visible()
    session_id = demo.events("kosmosx:session.closed")[0]["session"]["id"]
    answer = await demo.page.request.get(
        f"{server.base_url}/v1/sessions/{session_id}",
        headers={"Authorization": f"Bearer {server.key}"},
    )
    billed = (await answer.json())["receipt"]["total_usd"]
    assert Decimal(billed) == total
    shown = receipt.locator("[data-total]")
    assert await shown.get_attribute("data-total") == billed
    assert Decimal((await shown.inner_text()).removeprefix("$")) == total

    await receipt.get_by_role("button", name=session_id).click()
    await expect(demo.page.locator("#sheet pre")).to_contain_text(f'"total_usd": "{billed}"')
    await demo.page.keyboard.press("Escape")
    await receipt.get_by_role("button", name="New session").click()
    await expect(receipt).to_be_hidden()
    await demo.ask("Hello!")
    await demo.answered(0)
    assert len(demo.events("kosmosx:session.opened")) == 2


async def test_phone_has_no_horizontal_scroll(demo: Demo, server: Any) -> None:
    await demo.page.set_viewport_size(PHONE)
    await demo.open(server.key)
    assert await demo.overflow() <= 0
    await demo.pick_sample()
    await demo.page.get_by_role("button", name=DESCRIBE).click()
    await demo.answered(0)
    await expect(demo.page.locator("#meter")).to_be_visible()
    await expect(demo.question).to_be_in_viewport()
    assert await demo.boxes.count() > 0
    assert await demo.overflow() <= 0
    await demo.page.locator("#close-session").click()
    await expect(demo.page.locator("#receipt [data-total]")).to_be_visible()
    assert await demo.overflow() <= 0


# ── the key ────────────────────────────────────────────────────────────────────────────────────


async def test_key_leaves_the_address_and_is_not_kept(demo: Demo, server: Any) -> None:
    await demo.open(server.key)
    assert await demo.page.evaluate("location.href") == f"{server.base_url}/"
    await demo.ask("Hello!")
    await demo.answered(0)
    sockets = [command for command in demo.sent if server.key in str(command)]
    assert sockets == []
    stored = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
    assert server.key not in await demo.page.evaluate(stored)
    await demo.page.reload()
    await expect(demo.page.locator("#key")).to_be_visible()


async def test_key_is_remembered_in_the_tab_on_request(demo: Demo, server: Any) -> None:
    await demo.page.goto(server.base_url)
    await demo.page.locator("#key").fill(server.key)
    await demo.page.locator("#remember").check()
    await demo.page.locator("#key").press("Enter")
    await expect(demo.question).to_be_visible()
    await demo.page.reload()
    await expect(demo.question).to_be_visible()
    await demo.menu("Use another key")
    await demo.page.reload()
    await expect(demo.page.locator("#key")).to_be_visible()


async def test_bad_key_is_refused_in_words(page: Page, server: Any) -> None:
    await page.goto(f"{server.base_url}/#key=kx_live_nobody_nothing")
    await expect(page.locator("#key-error")).to_contain_text("does not accept this key")
    await expect(page.locator("#key")).to_be_focused()
    await page.locator("#key").fill("not a key")
    await page.locator("#key").press("Enter")
    await expect(page.locator("#key-error")).to_contain_text("does not look like a key")


async def test_page_carries_its_policy(page: Page, server: Any) -> None:
    response = await page.goto(server.base_url)
    assert response is not None
    policy = (await response.all_headers())["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy


# ── when the connection breaks ─────────────────────────────────────────────────────────────────


async def test_answer_goes_on_after_a_drop(demo: Demo, server: Any) -> None:
    connections: list[tuple[WebSocketRoute, WebSocketRoute]] = []
    enough = asyncio.Event()

    def relay(socket: WebSocketRoute) -> None:
        """The first connection falls silent after some deltas, as one that is cut off does."""
        upstream = socket.connect_to_server()
        connections.append((socket, upstream))
        first, deltas = len(connections) == 1, 0

        def pass_on(message: str | bytes) -> None:
            nonlocal deltas
            deltas += "response.output_text.delta" in str(message)
            if first and deltas > DELTAS_BEFORE_DROP:
                enough.set()
            else:
                socket.send(message)

        upstream.on_message(pass_on)

    await demo.page.route_web_socket("**/v1/responses*", relay)
    await demo.open(server.key)
    await demo.pick_sample()
    await demo.ask(DESCRIBE)
    await asyncio.wait_for(enough.wait(), 60)
    await expect(demo.turn(0)).to_have_attribute("data-status", "streaming")
    socket, upstream = connections[0]
    await upstream.close()
    await socket.close(code=1012, reason="restart")

    text = await demo.answered(0)
    await expect(demo.turn(0).locator(".resumed")).to_contain_text("resumed at token")
    assert len(connections) == 2
    query = parse_qs(urlsplit(connections[1][0].url).query)
    answer = await demo.page.request.get(
        f"{server.base_url}/v1/responses/{query['response_id'][0]}",
        headers={"Authorization": f"Bearer {server.key}"},
    )
    output = (await answer.json())["output"][0]["content"][0]
    assert text.split() == output["text"].split()
    assert await demo.phrases.count() == len(output["kosmosx:grounding"])


async def test_a_question_whose_confirmation_was_lost_is_asked_and_billed_once(
    page: Page, wordy_server: Any
) -> None:
    """The first connection is cut when the server has taken the question and named its answer."""
    asked: list[dict[str, Any]] = []
    sockets: list[WebSocketRoute] = []

    def relay(socket: WebSocketRoute) -> None:
        upstream = socket.connect_to_server()
        sockets.append(socket)
        first = len(sockets) == 1

        def ask(message: str | bytes) -> None:
            asked.append(json.loads(message))
            upstream.send(message)

        async def answer(message: str | bytes) -> None:
            if not first:
                socket.send(message)
            elif "response.created" in str(message):
                await upstream.close()
                await socket.close(code=1012, reason="restart")

        socket.on_message(ask)
        upstream.on_message(answer)

    await page.route_web_socket("**/v1/responses*", relay)
    demo = Demo(page, wordy_server.base_url)
    await demo.open(wordy_server.create_key())
    await demo.ask("Did you hear me?")
    text = await demo.answered(0)
    assert len(sockets) == 2
    assert asked[0] == asked[1]
    items = await page.request.get(
        f"{wordy_server.base_url}/v1/conversations/{asked[0]['conversation']}/items",
        headers=demo.authorization,
    )
    answers = [each for each in (await items.json())["data"] if each["role"] == "assistant"]
    assert [each["content"][0]["text"].split() for each in answers] == [text.split()]
    await page.locator("#close-session").click()
    await expect(page.locator("#receipt .when")).to_contain_text("1 question")
    usage = await page.request.get(f"{wordy_server.base_url}/v1/usage", headers=demo.authorization)
    assert [day["turns"] for day in (await usage.json())["data"]] == [1]
    assert demo.problems == []
