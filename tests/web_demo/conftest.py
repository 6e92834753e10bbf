"""A real browser for the page's tests: Debian's Chromium, driven by Playwright."""

import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.server_process import ServerProcess
from tests.web_demo.demo import ANSWER_TIMEOUT_MS

CHROMIUM = Path("/usr/bin/chromium")
INSTALL_TIMEOUT_S = 600

# Whatever is waited for comes; how soon is the machine's business.
expect.set_options(timeout=ANSWER_TIMEOUT_MS)


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


@pytest.fixture(scope="session")
def endless_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The process behind `endless_server`."""
    process = ServerProcess(
        tmp_path_factory.mktemp("endless") / "data",
        KOSMOSX_ENGINE="deterministic",
        KOSMOSX_DETERMINISTIC_RATE="10",
        KOSMOSX_DETERMINISTIC_LENGTH="1000000",
        KOSMOSX_LEASE_TTL_S="2",
        KOSMOSX_SWEEP_INTERVAL_S="0.2",
    )
    process.data_dir.mkdir()
    yield process
    process.stop()


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
