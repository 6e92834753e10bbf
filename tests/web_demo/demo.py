"""The page as a user handles it, and what must never happen meanwhile."""

import json
from typing import Any

from playwright.async_api import Locator, Page, WebSocket, expect

ANSWER_TIMEOUT_MS = 60_000


class Demo:
    """A page object. `problems` gathers console errors, violations of the CSP and exceptions."""

    def __init__(self, page: Page, base_url: str) -> None:
        self.page = page
        self.base_url = base_url
        self.key = ""
        self.problems: list[str] = []
        self.sent: list[dict[str, Any]] = []
        self.received: list[dict[str, Any]] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", self._on_console)
        page.on("websocket", self._on_websocket)

    def _on_console(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.problems.append(message.text)

    def _on_websocket(self, socket: WebSocket) -> None:
        socket.on("framesent", lambda frame: self.sent.append(json.loads(frame)))
        socket.on("framereceived", lambda frame: self.received.append(json.loads(frame)))

    async def open(self, key: str) -> None:
        self.key = key
        await self.page.goto(f"{self.base_url}/#key={key}")
        await expect(self.question).to_be_visible()

    async def again(self) -> None:
        """Come back as a new visitor would: nothing but the key is the same."""
        await self.page.goto("about:blank")
        await self.open(self.key)

    @property
    def question(self) -> Locator:
        return self.page.locator("#question")

    @property
    def boxes(self) -> Locator:
        return self.page.locator("#frame .box")

    @property
    def phrases(self) -> Locator:
        return self.page.locator(".phrase")

    def turn(self, index: int) -> Locator:
        return self.page.locator("article").nth(index)

    async def pick_sample(self, index: int = 0) -> None:
        await self.page.locator("[data-sample]").nth(index).click()
        await expect(self.page.locator("#frame")).to_be_visible()

    async def ask(self, question: str) -> None:
        await self.question.fill(question)
        await self.question.press("Enter")

    async def answered(self, index: int) -> str:
        """Wait for the end of an answer; return its words."""
        turn = self.turn(index)
        await expect(turn).not_to_have_attribute("data-status", "waiting")
        await expect(turn).not_to_have_attribute("data-status", "streaming")
        await expect(turn).to_have_attribute("data-status", "completed")
        return await turn.locator(".answer").inner_text()

    async def begun(self, index: int) -> None:
        """Wait for an answer's first words."""
        await expect(self.turn(index)).to_have_attribute("data-status", "streaming")

    async def stop(self, index: int) -> str:
        """Stop an answer; return what was said of it."""
        await self.page.get_by_role("button", name="Stop").click()
        await expect(self.turn(index)).to_have_attribute("data-status", "incomplete")
        return await self.turn(index).locator(".answer").inner_text()

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    async def prefer(self, name: str, value: str) -> None:
        """Choose in the menu: the transport, the theme or the language."""
        await self.page.locator("#menu-button").click()
        await self.page.locator(f"#{name}").select_option(value)
        await self.page.keyboard.press("Escape")

    async def menu(self, entry: str) -> None:
        await self.page.locator("#menu-button").click()
        await self.page.locator("#menu").get_by_role("button", name=entry).click()

    async def meter(self, name: str) -> str:
        return await self.page.locator(f'[data-meter="{name}"]').inner_text()

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.received if event["type"] == kind]

    def questions(self) -> list[dict[str, Any]]:
        return [command for command in self.sent if command["type"] == "response.create"]

    async def overflow(self) -> float:
        """By how many pixels something sticks out of the window, to the right."""
        script = """() => Math.max(...[document.documentElement, ...document.querySelectorAll(
            "header, main, section, article, form, dialog[open], #bottom, #ideas")]
            .filter((each) => each.checkVisibility())
            .map((each) => Math.max(each.getBoundingClientRect().right,
                each === document.documentElement ? each.scrollWidth : 0))) - innerWidth"""
        return float(await self.page.evaluate(script))
