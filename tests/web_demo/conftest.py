"""A real browser for the page's tests: Debian's Chromium, driven by Playwright."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests import debian
from tests.server_process import ServerProcess, stopped
from tests.web_demo.demo import ANSWER_TIMEOUT_MS, Demo

CHROMIUM = Path("/usr/bin/chromium")

# Whatever is waited for comes; how soon is the machine's business.
expect.set_options(timeout=ANSWER_TIMEOUT_MS)


@pytest.fixture(scope="session")
def chromium() -> Path:
    """Where it is; Debian's is installed unless it is there."""
    if not CHROMIUM.exists():
        debian.install("chromium")
    return CHROMIUM


@pytest.fixture(scope="session")
async def browser(chromium: Path) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium,
            args=[
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--use-fake-device-for-media-stream",  # a camera that shows a clock
                "--use-fake-ui-for-media-stream",
            ],
        )
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
def endless_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The process behind `endless_server`."""
    yield from stopped(
        tmp_path_factory.mktemp("endless"),
        KOSMOSX_ENGINE="deterministic",
        KOSMOSX_DETERMINISTIC_RATE="10",
        KOSMOSX_DETERMINISTIC_LENGTH="1000000",
        KOSMOSX_LEASE_TTL_S="2",
        KOSMOSX_SWEEP_INTERVAL_S="0.2",
    )


@pytest.fixture
def endless_server(endless_process: ServerProcess) -> ServerProcess:
    """It may be killed; it says 10 tokens a second, and a hundred seconds long unless stopped."""
    endless_process.ensure_running()
    return endless_process


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A fresh visitor's, on a desktop."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    yield await context.new_page()
    await context.close()


@pytest.fixture
async def demo(page: Page, wordy_server: ServerProcess) -> AsyncIterator[Demo]:
    """The page, watched: whatever a test does, nothing may go wrong in the browser."""
    demo = Demo(page, wordy_server.base_url)
    await demo.open(wordy_server.key)
    yield demo
    assert demo.problems == []
