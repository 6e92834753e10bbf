"""Peers of the server alone: `python -m benchmarks.serving.stand_in PORT`.

`/v1/chat/completions` is the engine behind a proxy: it says the deterministic engine's pace, as
many words as are asked for, as fast as they are taken. The WebSocket at `/broadcast` is the limit:
uvicorn's own protocol sends the same bytes to all who are connected, and nothing else is done.
"""

import asyncio
import json
import sys
from typing import Any

import uvicorn

TEXT_BYTES = 330
"""As long as an event of ours."""
Scope = dict[str, Any]


async def app(scope: Scope, receive: Any, send: Any) -> None:
    match scope["type"], scope.get("path"):
        case "lifespan", _:
            await _lifespan(receive, send)
        case "websocket", "/broadcast":
            await _broadcast(receive, send)
        case "http", "/v1/chat/completions":
            await _complete(receive, send)
        case "http", _:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"{}"})


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _broadcast(receive: Any, send: Any) -> None:
    """Answer one request with as many messages as it asks for tokens."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        tokens = json.loads(message["text"])["max_output_tokens"]
        text = '{"type":"response.output_text.delta","delta":"' + "x" * TEXT_BYTES + '"}'
        for _ in range(tokens):
            await send({"type": "websocket.send", "text": text})
            await asyncio.sleep(0)  # Others have their turn, as with tokens.
        usage = {"type": "response.completed", "usage": {"output_tokens": tokens}}
        await send({"type": "websocket.send", "text": json.dumps(usage, separators=(",", ":"))})


async def _complete(receive: Any, send: Any) -> None:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    tokens = json.loads(body)["max_tokens"]
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    for _ in range(tokens):
        choice = {"index": 0, "delta": {"content": " word"}, "finish_reason": None}
        await _chunk(send, head | {"choices": [choice]})
        await asyncio.sleep(0)
    choice = {"index": 0, "delta": {}, "finish_reason": "length"}
    await _chunk(send, head | {"choices": [choice]})
    usage = {"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": tokens + 9}
    await _chunk(send, head | {"choices": [], "usage": usage})
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


async def _chunk(send: Any, chunk: dict[str, Any]) -> None:
    body = f"data: {json.dumps(chunk)}\n\n".encode()
    await send({"type": "http.response.body", "body": body, "more_body": True})


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        log_level="warning",
    )
