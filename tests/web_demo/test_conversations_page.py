"""Conversations on the page: kept by the server, in versions, and the same in every tab."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, expect

from tests.web_demo.demo import Demo


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    yield context
    await context.close()


@pytest.fixture(scope="module")
def key(wordy_server: Any) -> str:
    """Of an account that nobody else uses: its list begins empty."""
    return str(wordy_server.create_key())


@pytest.fixture
async def demo(context: BrowserContext, wordy_server: Any, key: str) -> AsyncIterator[Demo]:
    demo = Demo(await context.new_page(), wordy_server.base_url)
    await demo.open(key)
    yield demo
    assert demo.problems == []


async def test_conversations_are_kept_found_renamed_and_deleted(demo: Demo) -> None:
    page, titles = demo.page, demo.page.locator("#conversations .title")
    await expect(page.locator("#no-conversations")).to_have_text("What you ask is kept here.")
    await demo.pick_sample()
    await demo.ask("What are boats?")
    boats = await demo.answered(0)
    await page.get_by_role("button", name="New conversation").click()
    await expect(page.locator("article")).to_have_count(0)
    await demo.ask("What are tides?")
    await demo.answered(0)
    await expect(titles).to_have_text(["What are tides?", "What are boats?"])

    first = demo.questions()[0]["conversation"]
    await demo.again()
    await page.locator("#search").fill("BOAT")
    await expect(titles).to_have_text(["What are boats?"])
    await titles.first.click()
    assert await demo.turn(0).locator(".answer").inner_text() == boats
    await expect(demo.turn(0).locator(".thumb img")).to_have_js_property("naturalWidth", 448)
    await demo.ask("And ships?")
    await demo.answered(1)
    assert demo.questions()[-1]["conversation"] == first

    await page.get_by_role("button", name="Rename: What are boats?").click()
    await page.get_by_role("textbox", name="Title").fill("Boats")
    await page.keyboard.press("Enter")
    await expect(titles).to_have_text(["Boats"])
    await demo.again()
    await expect(titles).to_have_text(["Boats", "What are tides?"])
    await titles.nth(1).hover()
    await page.get_by_role("button", name="Delete: What are tides?").click()
    await page.locator("#sheet").get_by_role("button", name="Delete").click()
    await expect(titles).to_have_text(["Boats"])
    await demo.again()
    await expect(titles).to_have_text(["Boats"])


async def test_what_was_said_is_searched(demo: Demo) -> None:
    page, hits = demo.page, demo.page.locator("#conversations mark")
    await demo.ask("What is a halyard?")
    answer = await demo.answered(0)
    await page.get_by_role("button", name="New conversation").click()
    word = max(answer.split(), key=len)
    await page.locator("#search").fill(word.upper())
    await expect(hits).to_have_text([word])
    await hits.click()
    assert await demo.answered(0) == answer
    await page.locator("#search").fill("nobody said this")
    await expect(page.locator("#no-conversations")).to_have_text("Nothing found.")


async def test_questions_are_asked_anew_and_versions_switched(demo: Demo) -> None:
    page, versions = demo.page, demo.page.locator(".versions")
    await demo.ask("One?")
    await demo.answered(0)
    await demo.ask("Two?")
    first = await demo.answered(1)
    await demo.turn(1).get_by_role("button", name="Another answer").click()
    await expect(versions).to_contain_text("2/2")
    second = await demo.answered(1)
    assert second != first
    await demo.turn(1).get_by_role("button", name="Edit the question").click()
    await page.locator(".editor textarea").fill("Three?")
    await page.locator(".editor").get_by_role("button", name="Ask").click()
    await expect(versions).to_contain_text("3/3")
    one, two, again, three = demo.questions()
    assert two["conversation"] == three["conversation"]
    assert "previous_response_id" not in two
    assert again["previous_response_id"] == three["previous_response_id"]
    assert again["previous_response_id"] == demo.events("response.completed")[0]["response"]["id"]
    assert one["input"] != three["input"]
    await demo.answered(1)
    await page.get_by_role("button", name="Version after").click()
    await expect(versions).to_contain_text("1/3")
    await expect(demo.turn(1).locator(".answer")).to_have_text(first, use_inner_text=True)
    await demo.again()
    await page.locator("#conversations .title").first.click()
    await expect(versions).to_contain_text("1/3")
    await page.get_by_role("button", name="Version after").click()
    await expect(versions).to_contain_text("2/3")
    await expect(demo.turn(1).locator(".answer")).to_have_text(second, use_inner_text=True)
    await demo.turn(0).get_by_role("button", name="Edit the question").click()
    await page.keyboard.press("Escape")
    await expect(page.locator(".editor")).to_have_count(0)


async def stopped_by_the_other(tabs: list[Demo], index: int) -> None:
    """The answer streams in both tabs, is stopped in the second one, and is the same in both."""
    await tabs[1].begun(index)
    said = await tabs[1].stop(index)
    await expect(tabs[0].turn(index)).to_have_attribute("data-status", "incomplete")
    assert said == await tabs[0].turn(index).locator(".answer").inner_text() != ""


@pytest.fixture
async def elsewhere(browser: Browser, endless_server: Any) -> AsyncIterator[Demo]:
    """The page on another device."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    yield Demo(await context.new_page(), endless_server.base_url)
    await context.close()


async def test_devices_stay_in_step(
    context: BrowserContext, endless_server: Any, elsewhere: Demo
) -> None:
    """Also those of another browser: nothing but the server is between them."""
    tabs = [Demo(await context.new_page(), endless_server.base_url), elsewhere]
    for tab in tabs:
        await tab.open(endless_server.key)
    await tabs[0].ask("One?")
    await tabs[0].begun(0)
    await tabs[1].page.locator("#conversations .title").first.click()
    await stopped_by_the_other(tabs, 0)
    await tabs[0].ask("Two?")
    await expect(tabs[1].turn(1).locator(".question")).to_have_text("Two?")
    await stopped_by_the_other(tabs, 1)
    await tabs[0].page.get_by_role("button", name="Rename: One?").click()
    await tabs[0].page.get_by_role("textbox", name="Title").fill("Uno")
    await tabs[0].page.keyboard.press("Enter")
    await expect(tabs[1].page.locator("#conversations .title")).to_contain_text(["Uno"])
    await tabs[0].page.get_by_role("button", name="Delete: Uno").click()
    await tabs[0].page.locator("#sheet").get_by_role("button", name="Delete").click()
    await expect(tabs[1].page.locator("article")).to_have_count(0)
    assert tabs[0].problems == tabs[1].problems == []


async def test_what_was_said_is_copied_exported_and_shown_as_code(
    demo: Demo, context: BrowserContext, tmp_path: Path
) -> None:
    page = demo.page
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    await demo.pick_sample()
    await demo.ask("What is it?")
    answer = await demo.answered(0)
    await page.get_by_role("button", name="Copy the answer").click()
    await expect(page.locator("#speech")).to_contain_text("Copied.")
    assert (await page.evaluate("navigator.clipboard.readText()")).split() == answer.split()

    files = {}
    for kind in ("Markdown", "JSON"):
        async with page.expect_download() as download:
            await demo.menu(f"Export as {kind}")
        path = tmp_path / kind
        await (await download.value).save_as(path)
        files[kind] = path.read_text()
    assert files["Markdown"].startswith("# What is it?\n\n> [picture]\n> What is it?\n\n")
    items = json.loads(files["JSON"])["items"]
    assert items[1]["content"][0]["text"].split() == answer.split()
    assert items[0]["content"][1]["image_url"].startswith("data:image/png;base64,")

    await demo.menu("View code")
    for name in ("curl", "Python", "JavaScript", "websocat"):
        await page.get_by_role("tab", name=name).click()
        code = await page.locator("#snippet").inner_text()
        assert "kx_live_••••••••" in code
        assert demo.questions()[0]["conversation"] in code
        assert len(code) < 2_000
