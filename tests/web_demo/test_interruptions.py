"""What breaks in mid-answer, server, line or page: what is read is what the log says."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect

from tests.chaos.proxy import Proxy
from tests.kosmosx_stream.clients import client
from tests.server_process import ServerProcess
from tests.web_demo.demo import Demo


@pytest.fixture
async def demo(page: Page, endless_server: ServerProcess) -> Demo:
    demo = Demo(page, endless_server.base_url)
    await demo.open(endless_server.key)
    return demo


@pytest.fixture
async def proxy(endless_server: ServerProcess) -> AsyncIterator[Proxy]:
    """The line to the server."""
    proxy = Proxy(endless_server.port)
    await proxy.start()
    yield proxy
    await proxy.stop()


async def in_the_log(demo: Demo, server: ServerProcess) -> str:
    """What the server says that the newest answer was."""
    listed = await demo.page.request.get(
        f"{server.base_url}/v1/conversations?limit=1", headers=demo.authorization
    )
    conversation = (await listed.json())["data"][0]["id"]
    items = client(server).conversations.items.list(conversation, order="desc").data
    return str(items[0].content[0].text)


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_a_killed_server_is_survived(
    demo: Demo, endless_server: ServerProcess, transport: str
) -> None:
    await demo.prefer("transport", transport)
    await demo.ask(f"What survives over {transport}?")
    await demo.begun(0)
    endless_server.kill()
    await expect(demo.page.locator("#status")).to_have_attribute("data-state", "reconnecting")
    endless_server.start()
    await expect(demo.turn(0).locator(".resumed")).to_contain_text("resumed at token")
    text = await demo.stop(0)
    assert text.split() == (await in_the_log(demo, endless_server)).split()
    assert bool(demo.sent) == (transport == "websocket")
    await demo.page.locator("#close-session").click()
    await expect(demo.page.locator("#receipt [data-total]")).to_be_visible()


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_a_half_open_connection_is_left(
    page: Page, proxy: Proxy, endless_server: ServerProcess, transport: str
) -> None:
    demo = Demo(page, f"http://127.0.0.1:{proxy.port}")
    await page.clock.install()
    await demo.open(endless_server.key)
    await demo.prefer("transport", transport)
    await demo.ask(f"Who speaks over {transport}?")
    await demo.begun(0)
    # The answer's, and that of the news; the others are idle.
    while proxy.connections > 2:  # noqa: ASYNC110 - the server closes them
        await asyncio.sleep(0.1)
    proxy.forget()
    await page.clock.fast_forward("01:00")
    await expect(demo.turn(0).locator(".resumed")).to_contain_text("resumed at token")
    text = await demo.stop(0)
    assert text.split() == (await in_the_log(demo, endless_server)).split()
    assert demo.problems == []


async def test_a_reloaded_page_reads_on(demo: Demo, endless_server: ServerProcess) -> None:
    await demo.ask("What survives a reload?")
    await demo.begun(0)
    await demo.again()
    await expect(demo.turn(0).locator(".question")).to_have_text("What survives a reload?")
    await demo.begun(0)
    text = await demo.stop(0)
    assert text.split() == (await in_the_log(demo, endless_server)).split()
    assert demo.problems == []
