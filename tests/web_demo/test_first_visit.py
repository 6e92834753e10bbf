"""The page as it is met: how much is loaded, whether everybody can use it, in what light."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from tests.web_demo.demo import Demo

BUDGET_BYTES = 100_000
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.fixture(params=["light", "dark"])
async def page(browser: Browser, request: pytest.FixtureRequest) -> AsyncIterator[Page]:
    context = await browser.new_context(viewport=DESKTOP, color_scheme=request.param)
    # Colours are measured as they are, not as they fade in.
    yield await context.new_page()
    await context.close()


@pytest.fixture
async def demo(page: Page, wordy_server: Any) -> AsyncIterator[Demo]:
    await page.emulate_media(reduced_motion="reduce")
    demo = Demo(page, wordy_server.base_url)
    yield demo
    assert demo.problems == []


@pytest.mark.parametrize("page", ["light"], indirect=True)
async def test_a_first_visit_loads_little(demo: Demo, wordy_server: Any) -> None:
    responses: dict[str, Any] = {}

    def note(response: Any) -> None:
        path = response.url.removeprefix(wordy_server.base_url)
        if not path.startswith("/v1/") and not path.endswith(".png"):
            responses[path] = response

    demo.page.on("response", note)
    await demo.open(wordy_server.key)
    await expect(demo.page.locator("[data-sample] img").last).to_have_js_property("complete", True)
    loaded = {path: len(await response.body()) for path, response in responses.items()}
    assert sum(loaded.values()) < BUDGET_BYTES, loaded
    assert "/style.css" in loaded


async def faults(page: Page) -> dict[str, Any]:
    """What axe finds and calls serious or worse: rule → where."""
    found = await Axe().run(page, options=RULES)
    return {
        violation["id"]: [node["target"] for node in violation["nodes"]]
        for violation in found.response["violations"]
        if violation["impact"] in {"serious", "critical"}
    }


async def test_everybody_can_use_it(demo: Demo, wordy_server: Any) -> None:
    page = demo.page
    await page.goto(wordy_server.base_url)
    await expect(page.locator("#key")).to_be_visible()
    assert await faults(page) == {}
    await demo.open(wordy_server.key)
    await demo.pick_sample()
    await demo.ask("What do you see?")
    await demo.answered(0)
    for size in (DESKTOP, PHONE):
        await page.set_viewport_size(size)
        assert await faults(page) == {}
        assert await demo.overflow() <= 0
    await page.locator("#toggle-archive").click()
    assert await faults(page) == {}
    await page.keyboard.press("Escape")
    await page.locator("#menu-button").click()
    assert await faults(page) == {}
    await page.get_by_role("button", name="Keys of the keyboard").click()
    await expect(page.locator("#sheet")).to_be_visible()
    assert await faults(page) == {}


@pytest.mark.parametrize("page", ["light"], indirect=True)
async def test_right_to_left(demo: Demo, wordy_server: Any) -> None:
    await demo.open(wordy_server.key)
    await demo.page.evaluate("document.documentElement.dir = 'rtl'")
    await demo.ask("ما هذا؟")
    await demo.answered(0)
    for size in (DESKTOP, PHONE):
        await demo.page.set_viewport_size(size)
        assert await demo.overflow() <= 0
        assert (
            await demo.page.evaluate("document.querySelector('main').getBoundingClientRect().left")
            >= 0
        )
    direction = "getComputedStyle(document.querySelector('.question')).direction"
    assert await demo.page.evaluate(direction) == "rtl"


OVERLAPPING = """() => {
    const boxes = [...document.querySelectorAll("#stage button")]
        .filter((each) => each.checkVisibility())
        .map((each) => each.getBoundingClientRect());
    const meet = (a, b) =>
        a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
    return boxes.flatMap((a, i) => boxes.slice(i + 1).filter((b) => meet(a, b))).length;
}"""


@pytest.mark.parametrize("page", ["light"], indirect=True)
@pytest.mark.parametrize("language", ["en", "de"])
async def test_nothing_lies_on_a_button_in_low_windows(
    demo: Demo, wordy_server: Any, language: str
) -> None:
    """A phone on its side, and one whose keyboard is open."""
    await demo.open(wordy_server.key)
    await demo.page.get_by_role("button", name="Menu").click()
    await demo.page.locator("#language").select_option(language)
    await demo.page.keyboard.press("Escape")
    for width, height in ((1280, 800), (844, 390), (360, 740), (360, 420), (320, 480)):
        await demo.page.set_viewport_size({"width": width, "height": height})
        assert await demo.page.evaluate(OVERLAPPING) == 0, (width, height)
