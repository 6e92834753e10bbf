"""Bad input: a typed error in the specification's shape, the same over JSON, SSE and WebSocket."""

import base64
import json
import struct
import zlib
from typing import Any

import httpx
import openai
import pytest
from websockets.sync.client import connect

from tests.kosmosx_stream.clients import MODEL, client, message, picture_url, socket
from tests.server_process import ServerProcess


def picture(data: bytes, kind: str = "png") -> list[dict[str, Any]]:
    url = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return [message("?", url)]


def chunk(kind: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def png(width: int, height: int) -> bytes:
    """A PNG that declares its size and then breaks off."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 64))


IMAGE_PARAM = "input[0].content[1].image_url"

CASES: dict[str, tuple[dict[str, Any], int, str | None, str | None]] = {
    # name: (changes to a good request, status, code, param)
    "unknown model": ({"model": "gpt-x"}, 404, "model_not_found", "model"),
    "no model": ({"model": None}, 400, None, "model"),
    "input of the wrong type": ({"input": 7}, 400, None, "input"),
    "text of the wrong type": (
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": 1}]}]},
        400, None, "input[0].content[0].text",
    ),
    "temperature as text": ({"temperature": "hot"}, 400, None, "temperature"),
    "temperature too high": ({"temperature": 3}, 400, None, "temperature"),
    "negative limit": ({"max_output_tokens": -1}, 400, None, "max_output_tokens"),
    "unsupported tool": (
        {"tools": [{"type": "web_search"}]}, 400, "unsupported_tool", "tools[0].type",
    ),
    "unusable schema of a tool": (
        {"tools": [{"type": "function", "name": "f", "parameters": {"not": {}}}]}, 400,
        "invalid_schema", "tools[0].parameters",
    ),
    "unusable schema of the text": (
        {"text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "x"}}}}, 400,
        "invalid_schema", "text.format.schema",
    ),
    "output of no call": (
        {"input": [{"type": "function_call_output", "call_id": "call_0", "output": "7"}]}, 400,
        None, "input[0].call_id",
    ),
    "background and unstored": ({"background": True, "store": False}, 400, None, "background"),
    "broken image": ({"input": picture(png(64, 64))}, 400, "invalid_image", IMAGE_PARAM),
    "svg": ({"input": picture(b"<svg/>", "svg+xml")}, 400, "unsupported_image", IMAGE_PARAM),
    "huge image": ({"input": picture(png(30_000, 30_000))}, 400, "image_too_large", IMAGE_PARAM),
    "image by URL": (
        {"input": [message("?", "https://example.com/a.png")]}, 400, None, IMAGE_PARAM,
    ),
    "text over the context": (
        {"input": "word " * 30_000}, 400, "context_length_exceeded", "input",
    ),
    "unknown response": (
        {"previous_response_id": "resp_0"}, 400, "previous_response_not_found",
        "previous_response_id",
    ),
    "unknown conversation": (
        {"conversation": "conv_0"}, 404, "conversation_not_found", "conversation",
    ),
}  # fmt: skip


def request(changes: dict[str, Any]) -> dict[str, Any]:
    body = {"model": MODEL, "input": "Hello!"} | changes
    return {name: value for name, value in body.items() if value is not None}


def check(error: dict[str, Any], code: str | None, param: str | None) -> None:
    assert error["param"] == param
    assert error["message"]
    assert error["type"]
    if code is not None:
        assert error["code"] == code


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("stream", [False, True])
def test_over_http(server: ServerProcess, name: str, *, stream: bool) -> None:
    changes, status, code, param = CASES[name]
    answer = httpx.post(
        f"{server.base_url}/v1/responses",
        json=request(changes) | {"stream": stream},
        headers={"Authorization": f"Bearer {server.key}"},
    )
    assert answer.status_code == status
    check(answer.json()["error"], code, param)


def test_over_one_websocket_that_stays_usable(server: ServerProcess) -> None:
    with socket(client(server)) as ws:
        for changes, status, code, param in CASES.values():
            ws.connection.send({"type": "response.create", **request(changes)})
            event = ws.read()[-1].to_dict()
            assert (event["type"], event["status"]) == ("error", status)
            check(event["error"], code, param)
        assert ws.say(input="Hello!")[-1].type == "response.completed"
        closed = ws.close()
    assert closed["usage"]["turns"] == 1


MALFORMED = [
    b"",
    b"{",
    b"[]",
    b'"text"',
    b'{"model": "kosmos-x", "input": "\\ud800"}',
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"input":' + b"[" * 1_000 + b"]" * 1_000 + b"}",
]


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_json_is_refused(server: ServerProcess, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    answer = httpx.post(f"{server.base_url}/v1/responses", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_malformed_messages_leave_the_socket_usable(server: ServerProcess) -> None:
    url = server.base_url.replace("http", "ws") + "/v1/responses"
    headers = {"Authorization": f"Bearer {server.key}"}
    with connect(url, additional_headers=headers) as ws:
        for message_text in ("{", "[]", "7", '{"type": "no.such"}', "{}", "[" * 10_000, b"binary"):
            ws.send(message_text)
            event = json.loads(ws.recv(timeout=10))
            assert (event["type"], event["status"]) == ("error", 400)
        ws.send(json.dumps({"type": "response.create", "model": MODEL, "input": "Hello!"}))
        while (event := json.loads(ws.recv(timeout=60)))["type"] != "response.completed":
            assert event["type"] != "error"


def test_nothing_is_billed_for_what_was_refused(server: ServerProcess) -> None:
    key = server.create_key()
    for changes, status, *_ in CASES.values():
        headers = {"Authorization": f"Bearer {key}"}
        answer = httpx.post(
            f"{server.base_url}/v1/responses", json=request(changes), headers=headers
        )
        assert answer.status_code == status
    listed = httpx.get(f"{server.base_url}/v1/sessions", headers=headers).json()
    assert listed["data"] == []


def test_an_unknown_response_is_not_found(server: ServerProcess) -> None:
    headers = {"Authorization": f"Bearer {server.key}"}
    for method, path in (
        ("GET", "/v1/responses/resp_0"),
        ("GET", "/v1/responses/resp_0?stream=true"),
        ("DELETE", "/v1/responses/resp_0"),
        ("POST", "/v1/responses/resp_0/cancel"),
        ("GET", "/v1/responses/resp_0/input_items"),
        ("GET", "/v1/sessions/sess_0"),
        ("DELETE", "/v1/sessions/sess_0"),
        ("GET", "/v1/conversations/conv_0"),
        ("GET", "/v1/models/gpt-x"),
        ("GET", "/v1/nothing"),
    ):
        answer = httpx.request(method, server.base_url + path, headers=headers)
        assert answer.status_code == 404, path
        assert answer.json()["error"]["message"]


def test_a_picture_twice_in_a_message(server: ServerProcess) -> None:
    with socket(client(server)) as ws:
        asked = [message("Which shapes?", picture_url(), picture_url())]
        assert ws.say(input=asked)[-1].type == "response.completed"
        lines = ws.close()["receipt"]["lines"]
    assert {line["meter"]: line["units"] for line in lines}["images"] == 2


def test_a_limit_that_no_window_has_is_told_as_it_was_asked_for(server: ServerProcess) -> None:
    with pytest.raises(openai.BadRequestError, match="100000 are kept for the answer"):
        client(server).responses.create(model=MODEL, input="Hi.", max_output_tokens=100_000)
