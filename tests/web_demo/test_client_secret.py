"""A page of another origin with a client secret, in a real browser: fetch and WebSocket."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Page

from tests.conftest import Twins
from tests.kosmosx_stream.clients import MODEL
from tests.node import node_modules

JAVASCRIPT = Path(__file__).parents[1] / "javascript"
REQUEST = {"model": MODEL, "max_output_tokens": 16, "input": "Hi"}

FETCH = """async ([url, token, request]) => {
  try {
    const answer = await fetch(url, {
      method: "POST",
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: JSON.stringify(request),
    });
    const session = answer.headers.get("x-kosmosx-session");
    return { status: answer.status, session, text: await answer.text() };
  } catch (error) {
    return { error: error.name };
  }
}"""

SOCKET = """([url, token, request]) => new Promise((resolve) => {
  const socket = new WebSocket(url, ["realtime", "openai-insecure-api-key." + token]);
  const types = [];
  socket.onopen = () => socket.send(JSON.stringify({ type: "response.create", ...request }));
  socket.onmessage = ({ data }) => {
    types.push(JSON.parse(data).type);
    if (types.at(-1) === "response.incomplete") socket.close();
  };
  socket.onclose = () => resolve({ protocol: socket.protocol, types });
})"""


OFFICIAL = """async ([url, token, request]) => {
  const { default: OpenAI } = await import("/openai/index.mjs");
  const client = new OpenAI({ baseURL: url, apiKey: token, dangerouslyAllowBrowser: true });
  const { chat, ...asked } = request;
  if (chat) {
    const answer = await client.chat.completions.create(asked).catch((error) => error);
    return answer.choices?.[0].finish_reason ?? answer.code;
  }
  let last;
  for await (const event of await client.responses.create({ ...asked, stream: true })) last = event;
  return last.type;
}"""


class Site(BaseHTTPRequestHandler):
    """A page without content, and the modules of the official client."""

    def do_GET(self) -> None:
        page, kind = b"<!doctype html><title>Another site</title>", "text/html"
        if self.path.startswith("/openai/"):
            page, kind = (node_modules(JAVASCRIPT) / self.path[1:]).read_bytes(), "text/javascript"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def other_site() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{site.server_port}"
        site.shutdown()
        thread.join()


@pytest.fixture
async def page(browser: Browser, other_site: str) -> Page:
    page = await browser.new_page()
    await page.goto(other_site)
    return page


def mint(twins: Twins, origin: str) -> str:
    answer = httpx.post(
        f"{twins.first.base_url}/v1/client_secrets",
        json={"origin": origin},
        headers={"Authorization": f"Bearer {twins.first.key}"},
    )
    return answer.json()["value"]


async def test_a_page_posts_with_a_secret(twins: Twins, page: Page, other_site: str) -> None:
    url = f"{twins.first.base_url}/v1/responses"
    secret = mint(twins, other_site)
    streamed = await page.evaluate(FETCH, [url, secret, REQUEST | {"stream": True}])
    assert streamed["status"] == 200
    assert streamed["session"].startswith("sess_")
    assert "event: response.incomplete" in streamed["text"]
    again = await page.evaluate(FETCH, [url, secret, REQUEST])
    assert (again["status"], "client_secret_used" in again["text"]) == (401, True)
    elsewhere = mint(twins, "https://app.example.com")
    refused = await page.evaluate(FETCH, [url, elsewhere, REQUEST])
    assert (refused["status"], "origin_not_allowed" in refused["text"]) == (401, True)


async def test_the_official_client_in_a_page_posts_with_a_secret(
    twins: Twins, page: Page, other_site: str
) -> None:
    url = f"{twins.first.base_url}/v1"
    streamed = await page.evaluate(OFFICIAL, [url, mint(twins, other_site), REQUEST])
    assert streamed == "response.incomplete"
    secret = mint(twins, other_site)
    messages = [{"role": "user", "content": "Hi"}]
    chat = {"chat": True, "model": MODEL, "max_tokens": 16, "messages": messages}
    assert await page.evaluate(OFFICIAL, [url, secret, chat]) == "length"
    assert await page.evaluate(OFFICIAL, [url, secret, chat]) == "client_secret_used"


async def test_a_foreign_page_cannot_use_a_key(twins: Twins, page: Page) -> None:
    url = f"{twins.first.base_url}/v1/responses"
    assert await page.evaluate(FETCH, [url, twins.first.key, REQUEST]) == {"error": "TypeError"}


async def test_a_page_opens_a_websocket(twins: Twins, page: Page, other_site: str) -> None:
    url = twins.first.base_url.replace("http", "ws") + "/v1/responses"
    secret = mint(twins, other_site)
    talked = await page.evaluate(SOCKET, [url, secret, REQUEST])
    assert talked["protocol"] == "realtime"
    assert talked["types"][:2] == ["response.created", "kosmosx:session.opened"]
    assert talked["types"][-1] == "response.incomplete"
    for token in (secret, mint(twins, "https://app.example.com"), twins.first.key):
        talked = await page.evaluate(SOCKET, [url, token, REQUEST])
        assert talked == {"protocol": "", "types": []}
