"""A browser's own EventSource on `GET /v1/responses/{id}?stream=true`, to the end."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Page

from tests.kosmosx_stream.clients import MODEL, client
from tests.server_process import ServerProcess

RECOVERY_MS = 60_000

# `types`: an EventSource has no listener for all events. It closes itself on the answer 204.
FOLLOW = """([url, types]) => {
  window.seen = [];
  window.opened = 0;
  window.gaveUp = false;
  const source = new EventSource(url);
  for (const type of types)
    source.addEventListener(type, (event) =>
      window.seen.push({ id: event.lastEventId, data: JSON.parse(event.data) }));
  source.onopen = () => (window.opened += 1);
  source.onerror = () => (window.gaveUp = source.readyState === EventSource.CLOSED);
}"""


def begun(server: ServerProcess) -> str:
    """A response that has just begun."""
    created = client(server).responses.create(
        model=MODEL, input="What can you do?", background=True
    )
    return created.id


def events(server: ServerProcess, response_id: str) -> list[Any]:
    with client(server).responses.retrieve(response_id, stream=True) as stream:
        return [event.to_dict() for event in stream]


@pytest.fixture
async def visitor(browser: Browser, endless_server: ServerProcess) -> AsyncIterator[Page]:
    """A page that is open before anything is said: on a busy machine that takes seconds."""
    # An EventSource sets no headers: the browser adds the key to all requests, as a proxy would.
    key = {"Authorization": f"Bearer {endless_server.key}"}
    page = await browser.new_page(extra_http_headers=key)
    await page.goto(f"{endless_server.base_url}/health/live")
    yield page
    await page.close()


@pytest.mark.parametrize("lost", [False, True], ids=["undisturbed", "the server is killed"])
async def test_each_event_is_seen_once(
    visitor: Page, endless_server: ServerProcess, *, lost: bool
) -> None:
    types = {
        "response.created", "response.in_progress", "response.output_item.added",
        "response.content_part.added", "response.output_text.delta", "response.output_text.done",
        "response.content_part.done", "response.output_item.done", "response.completed",
        "response.incomplete", "response.cancelled",
    }  # fmt: skip
    response_id = begun(endless_server)
    await visitor.evaluate(FOLLOW, [f"/v1/responses/{response_id}?stream=true", sorted(types)])
    await visitor.wait_for_function("window.seen.length > 6", timeout=RECOVERY_MS)
    if lost:
        endless_server.kill()
        endless_server.start()
        before = await visitor.evaluate("window.seen.length")
        await visitor.wait_for_function(f"window.seen.length > {before}", timeout=RECOVERY_MS)
    client(endless_server).responses.cancel(response_id)
    await visitor.wait_for_function("window.gaveUp", timeout=RECOVERY_MS)
    seen = await visitor.evaluate("window.seen")
    assert [each["data"] for each in seen] == events(endless_server, response_id)
    assert [each["id"] for each in seen] == [str(each["data"]["sequence_number"]) for each in seen]
    assert (await visitor.evaluate("window.opened") > 1) == lost


def test_the_header_says_where_to_go_on(wordy_server: ServerProcess) -> None:
    response_id = begun(wordy_server)
    replayed = events(wordy_server, response_id)
    url = f"{wordy_server.base_url}/v1/responses/{response_id}?stream=true&starting_after=2"

    def answer(last_event_id: str) -> httpx.Response:
        key = {"Authorization": f"Bearer {wordy_server.key}"}
        return httpx.get(url, headers=key | {"Last-Event-ID": last_event_id}, timeout=60)

    last = len(replayed) - 1
    assert answer("4").text.count("\nid: ") == last - 4
    assert answer("").text.count("\nid: ") == last - 2
    assert answer(str(last - 1)).status_code == 200
    assert answer(str(last)).status_code == 204
    lost = answer(str(last + 5))
    assert (lost.status_code, lost.json()["error"]["code"]) == (404, "log_regressed")
    refused = answer("x")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "Last-Event-ID")
