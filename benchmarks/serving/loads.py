"""The same question in every protocol, for whoever answers it."""

from benchmarks.serving.load import Load
from benchmarks.serving.processes import Server
from kosmosx_stream.settings import Settings

TOKENS = 256
"""Of every answer."""
PROMPT = "Tell me a story about a red circle and a blue square."
MODEL: str = Settings.model_fields["model_name"].default

WEBSOCKET_PIECE = '"type":"response.output_text.delta"'
SSE_PIECE = "event: response.output_text.delta"
CHAT_PIECE = '"delta":{"content":"'


def responses_body(tokens: int) -> dict[str, object]:
    return {"model": MODEL, "input": PROMPT, "max_output_tokens": tokens, "temperature": 0}


def chat_body(tokens: int) -> dict[str, object]:
    return {
        "model": MODEL,
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": tokens,
        "temperature": 0,
        "stream_options": {"include_usage": True},
    }


def websocket(server: Server, streams: int, tokens: int = TOKENS) -> Load:
    """Responses over WebSockets, as ours has them."""
    return Load(
        port=server.port,
        path="/v1/responses",
        transport="websocket",
        key=server.key,
        body=responses_body(tokens),
        piece=WEBSOCKET_PIECE,
        streams=streams,
    )


def sse(server: Server, streams: int, tokens: int = TOKENS) -> Load:
    """Responses over SSE, ours or vLLM's."""
    return Load(
        port=server.port,
        path="/v1/responses",
        transport="sse",
        key=server.key,
        body=responses_body(tokens),
        piece=SSE_PIECE,
        streams=streams,
    )


def chat(server: Server, streams: int, tokens: int = TOKENS) -> Load:
    """Chat Completions over SSE, ours or anybody's."""
    return Load(
        port=server.port,
        path="/v1/chat/completions",
        transport="sse",
        key=server.key,
        body=chat_body(tokens),
        piece=CHAT_PIECE,
        streams=streams,
    )


def broadcast(server: Server, streams: int) -> Load:
    """The stand-in's broadcast."""
    return Load(
        port=server.port,
        path="/broadcast",
        transport="websocket",
        body=responses_body(TOKENS),
        piece=WEBSOCKET_PIECE,
        streams=streams,
    )
