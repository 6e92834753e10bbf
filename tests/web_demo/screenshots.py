"""The README's pictures of the page: `python -m tests.web_demo.screenshots URL KEY`."""

import asyncio
import sys
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright

from tests.web_demo.conftest import CHROMIUM
from tests.web_demo.demo import Demo

FOLDER = Path(__file__).parents[2] / "docs" / "images"
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}


async def talk(page: Page, base_url: str, key: str) -> None:
    """A conversation of two questions about a picture."""
    demo = Demo(page, base_url)
    await demo.open(key)
    await demo.pick_sample()
    for index, question in enumerate(("Describe the picture.", "What colour is the triangle?")):
        await demo.ask(question)
        await demo.answered(index)


async def picture(browser: Browser, name: str, base_url: str, key: str, **look: object) -> None:
    context = await browser.new_context(reduced_motion="reduce", **look)  # type: ignore[arg-type]
    page = await context.new_page()
    await talk(page, base_url, key)
    await page.mouse.move(0, 0)
    await page.screenshot(path=FOLDER / name)
    await context.close()


async def main(base_url: str, key: str) -> None:
    """Take them anew; the server has to run the bundled model."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        await picture(browser, "page.png", base_url, key, viewport=DESKTOP)
        await picture(browser, "page-phone.png", base_url, key, viewport=PHONE, color_scheme="dark")
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
