"""A real browser for the page's tests: Debian's Chromium, driven by Playwright."""

import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright

CHROMIUM = Path("/usr/bin/chromium")
INSTALL_TIMEOUT_S = 600


def install_chromium() -> None:
    """Install Debian's Chromium unless it is there.

    Raises:
        RuntimeError: it is absent and cannot be installed.
    """
    if CHROMIUM.exists():
        return
    if shutil.which("apt-get") is None:
        raise RuntimeError(f"the page's tests need Chromium at {CHROMIUM}, and there is no apt-get")
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
        command = ["apt-get", *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S
        )
        if done.returncode:
            raise RuntimeError(
                f"the page's tests need Chromium at {CHROMIUM}; {' '.join(command)!r} failed "
                f"(run it as root): {done.stderr.strip()[-1000:]}"
            )


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    install_chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--use-fake-device-for-media-stream",  # a camera that shows a clock
                "--use-fake-ui-for-media-stream",
            ],
        )
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A fresh visitor's, on a desktop."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    yield await context.new_page()
    await context.close()
