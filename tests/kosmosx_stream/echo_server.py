"""The server's own WebSocket stack with an app behind it that echoes, as the Autobahn cases ask.

Run as a process: `python -m tests.kosmosx_stream.echo_server`; it prints its port.
"""

import sys

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from kosmosx_stream.server import Server, bind
from kosmosx_stream.settings import Settings


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    while (message := await socket.receive())["type"] != "websocket.disconnect":
        content = {key: message[key] for key in ("text", "bytes") if message.get(key) is not None}
        await socket.send({"type": "websocket.send", **content})


async def nothing_to_drain() -> None:
    pass


def main() -> None:
    app = Starlette(routes=[WebSocketRoute("/", echo)])
    app.state.drain = nothing_to_drain
    listening = bind("127.0.0.1", 0, send_timeout_s=20)
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    Server(app, Settings()).run([listening])


if __name__ == "__main__":
    main()
