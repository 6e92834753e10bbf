"""How the tests talk to the server: the official client, unmodified, and pictures to send."""

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import openai
from PIL import Image, ImageDraw

from tests.server_process import ServerProcess

MODEL = "kosmos-x"


@cache
def client(server: ServerProcess, key: str | None = None) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.base_url}/v1", api_key=key or server.key, max_retries=0)


def picture_url() -> str:
    """A red circle at the left and a blue square at the right, as a data: URL."""
    picture = Image.new("RGB", (224, 224), "white")
    draw = ImageDraw.Draw(picture)
    draw.ellipse((20, 70, 90, 140), fill=(220, 30, 30))
    draw.rectangle((130, 80, 200, 150), fill=(30, 60, 220))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def message(text: str, *image_urls: str) -> dict[str, Any]:
    images = [{"type": "input_image", "image_url": url, "detail": "auto"} for url in image_urls]
    content = [{"type": "input_text", "text": text}, *images]
    return {"type": "message", "role": "user", "content": content}


class Socket:
    """One WebSocket of the official client."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.session_id: str | None = None

    def say(self, **request: Any) -> list[Any]:
        """Say something and read its events, to the terminal or an error event."""
        self.connection.response.create(model=MODEL, **request)
        return self.read()

    def read(self) -> list[Any]:
        events = []
        while True:
            event = self.connection.recv()
            if event.type == "kosmosx:session.opened":
                self.session_id = event.session["id"]
            events.append(event)
            if event.type in TERMINAL:
                return events

    def close(self) -> dict[str, Any]:
        """Close the session; returns it with its receipt."""
        self.connection.send({"type": "kosmosx:session.close"})
        while (event := self.connection.recv()).type != "kosmosx:session.closed":
            pass
        return event.session


TERMINAL = {"response.completed", "response.incomplete", "response.failed", "error"}


@contextmanager
def socket(openai_client: openai.OpenAI) -> Iterator[Socket]:
    with openai_client.responses.connect() as connection:
        yield Socket(connection)


def text_of(events: list[Any]) -> str:
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")
