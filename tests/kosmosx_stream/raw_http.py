"""A client without manners: bytes over a socket, read only when a test says so."""

import base64
import os
import socket
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from tests.server_process import ServerProcess

TIMEOUT_S = 60
SMALL_BUFFER = 4096


class RawClient:
    """One TCP connection to the server."""

    def __init__(self, server: ServerProcess, *, slow: bool = False) -> None:
        self.socket = socket.socket()
        if slow:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        self.socket.settimeout(TIMEOUT_S)
        host = urlsplit(server.base_url)
        self.socket.connect((host.hostname, host.port))
        self._peer = self.socket.getpeername()
        self._host = host.netloc
        self._key = server.key

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # Threads that still send or receive are told as well.
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def head(self, method: str, path: str, *headers: str, end: bool = True) -> None:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}", *headers]
        lines.append(f"Authorization: Bearer {self._key}")
        self.send("\r\n".join(lines).encode() + (b"\r\n\r\n" if end else b"\r\n"))

    def upgrade(self, *headers: str, path: str = "/v1/responses") -> bytes:
        """Become a WebSocket; the head of the answer."""
        nonce = base64.b64encode(os.urandom(16)).decode()
        self.head(
            "GET", path, "Connection: Upgrade", "Upgrade: websocket",
            "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {nonce}", *headers,
        )  # fmt: skip
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.socket.recv(1)
        return answer

    def read_frame(self) -> tuple[int, bytes]:
        """The server's next frame, which is not masked: its opcode and its data."""
        first, length = self._read(2)
        if length == 126:
            (length,) = struct.unpack(">H", self._read(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self._read(8))
        return first & 0x0F, self._read(length)

    def _read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = self.socket.recv(length - len(data))
            assert more, f"closed after {len(data)} of {length} bytes"
            data += more
        return data

    def frame(self, opcode: int, data: bytes, *, fin: bool = True) -> None:
        self.send(frame(opcode, data, fin=fin))

    def flood(self, data: bytes) -> bool:
        """Send it again and again; whether the server has had enough of it."""
        try:
            for _ in range(1000):
                self.send(data)
        except ConnectionError:
            return True
        return False

    def until(self, words: bytes) -> None:
        """Take what comes, up to these words."""
        tail = b""
        while words not in tail:
            more = self.socket.recv(65536)
            assert more
            tail = tail[-len(words) :] + more

    def drain(self) -> None:
        """Take what comes and keep none of it, until the connection ends."""
        while self.socket.recv(65536):
            pass

    def rest(self) -> bytes:
        """Everything until the server closes."""
        answer = b""
        try:
            while data := self.socket.recv(65536):
                answer += data
        except ConnectionResetError:
            if not answer:  # It need not have read all that was sent to it.
                raise
        return answer

    def dropped(self) -> bool:
        """Wait until the server's end is gone; it is not told here while nothing is taken."""
        here, there = (f"0100007F:{end[1]:04X}" for end in (self.socket.getsockname(), self._peer))
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            if f"{there} {here}" not in Path("/proc/net/tcp").read_text():
                return True
            time.sleep(0.05)
        return False


def frame(opcode: int, data: bytes, *, fin: bool = True) -> bytes:
    """A masked WebSocket frame (RFC 6455 5.2); the mask is zero, so that nothing changes."""
    first = bytes([opcode | (0x80 if fin else 0)])
    if len(data) < 126:
        return first + bytes([0x80 | len(data)]) + bytes(4) + data
    if len(data) < 2**16:
        return first + b"\xfe" + struct.pack(">H", len(data)) + bytes(4) + data
    return first + b"\xff" + struct.pack(">Q", len(data)) + bytes(4) + data
