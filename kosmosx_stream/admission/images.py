"""Clients' images: data URLs taken apart, files checked and normalised in a process of their own.

Bytes of strangers are never decoded here. One worker (`image_worker.py`) decodes them, with
bounded memory and a deadline; it is killed when it overruns and started again when next needed.
What comes back is a small RGB PNG without metadata, so nothing behind this sees the original.
"""

import asyncio
import base64
import binascii
import contextlib
import hashlib
import json
import math
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, cast

from kosmosx_stream.admission import image_worker
from kosmosx_stream.admission.image_worker import EXPECTED, LENGTH, READY, REPLY

ImageErrorCode = Literal[
    "image_too_large",
    "unsupported_image",
    "invalid_image",
    "image_timeout",
    "invalid_image_url",
    "image_url_unavailable",
]

Fetch = Callable[[str], Awaitable[bytes]]
"""Gets the file at a URL; raises `ImageError`."""

_START_DEADLINE_S = 20.0
_ATTEMPTS = 2  # a worker that died idle, or that the kernel killed, is no fault of the image
_PREFIX = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),", re.IGNORECASE | re.ASCII)
_MEDIA_TYPES = {"image/jpeg", "image/jpg", "image/png", "image/webp"}


class ImageError(Exception):
    """An image that is not taken. The message says what was expected; both go to the client."""

    def __init__(self, code: ImageErrorCode, message: str) -> None:
        super().__init__(message)
        self.code: ImageErrorCode = code


class ImageWorkerError(RuntimeError):
    """The worker does not start: the server's fault, whatever the image."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What is accepted, and what it may cost.

    `max_bytes` counts the file, not its base64. `output_side` is the longest side after
    normalising. `memory_bytes` bounds the worker's address space: four copies of the largest
    image at four bytes a pixel, and Python with Pillow.
    """

    max_bytes: int = 8 * 1024 * 1024
    max_pixels: int = 4096 * 4096
    max_side: int = 8192
    output_side: int = 1024
    deadline_s: float = 2.0
    memory_bytes: int = 1024 * 1024 * 1024


DEFAULT_LIMITS = ImageLimits()


@dataclass(frozen=True, slots=True)
class NormalisedImage:
    """An RGB PNG, upright, without metadata. `image_id` is the SHA-256 of `data` in hex."""

    image_id: str
    data: bytes
    width: int
    height: int


def load_data_url(url: str, limits: ImageLimits = DEFAULT_LIMITS) -> bytes:
    """The file inside a base64 data URL (RFC 2397). Raises `ImageError`.

    The declared media type must be one that is taken, but is not trusted beyond that: browsers
    name files by their ending, and the worker looks at the bytes.
    """
    head = _PREFIX.match(url, 0, 256)
    if head is None:
        raise ImageError("invalid_image", "expected a data URL: data:image/png;base64,…")
    media_type, parameters = head[1].lower(), head[2].lower().split(";")
    if media_type not in _MEDIA_TYPES:
        raise ImageError("unsupported_image", EXPECTED)
    if parameters[-1] != "base64":
        raise ImageError("invalid_image", "expected base64: data:image/png;base64,…")
    # Four characters carry three bytes; checked before anything of that size is made.
    if len(url) - head.end() > 4 * math.ceil(limits.max_bytes / 3):
        raise _too_many_bytes(limits)
    try:
        return base64.b64decode(url[head.end() :].encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ImageError("invalid_image", "expected valid base64 in the data URL") from None


def _too_many_bytes(limits: ImageLimits) -> ImageError:
    return ImageError("image_too_large", f"expected a file of at most {limits.max_bytes:,} bytes")


class ImageLoader:
    """Validates and normalises images, one at a time, in one sandboxed process.

    Use it as an async context manager, or call `aclose`. The process starts with the first image
    and dies with this one: its pipe closes, and on Linux the kernel kills it.
    """

    def __init__(self, limits: ImageLimits = DEFAULT_LIMITS, fetch: Fetch | None = None) -> None:
        """Without `fetch` pictures are taken as data URLs only."""
        self._limits = limits
        self._fetch = fetch
        self._turn = asyncio.Lock()
        self._worker: Process | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the worker, once an image in progress is done."""
        async with self._turn:
            await self._kill()

    @property
    def worker_pid(self) -> int | None:
        """The worker's process, if one was started."""
        return None if self._worker is None else self._worker.pid

    async def load(self, url: str) -> NormalisedImage:
        """The image at a URL, normalised. Raises `ImageError`."""
        if url[:5].lower() == "data:":
            return await self.normalise(load_data_url(url, self._limits))
        if self._fetch is None:
            raise ImageError(
                "invalid_image_url",
                "expected a data: URL (data:image/png;base64,...): this server fetches no pictures",
            )
        return await self.normalise(await self._fetch(url))

    async def normalise(self, data: bytes) -> NormalisedImage:
        """A file's image, normalised. Raises `ImageError`."""
        if len(data) > self._limits.max_bytes:
            raise _too_many_bytes(self._limits)
        async with self._turn:
            for _ in range(_ATTEMPTS):
                try:
                    return await self._ask(data)
                except (OSError, asyncio.IncompleteReadError):
                    continue
        raise ImageError("invalid_image", f"{EXPECTED}; decoding this one failed")

    async def _ask(self, data: bytes) -> NormalisedImage:
        """One image through the worker; a worker that was left in the middle of one is killed."""
        answered = False
        try:
            worker = self._worker or await self._start()
            async with asyncio.timeout(self._limits.deadline_s):
                status, width, height, payload = await _exchange(worker, data)
            answered = True
        except TimeoutError:
            limit = f"{self._limits.deadline_s:g} s"
            raise ImageError(
                "image_timeout", f"expected an image that is decoded within {limit}"
            ) from None
        finally:
            if not answered:
                await self._kill()
        if status:
            code, _, message = payload.decode().partition("\n")
            raise ImageError(cast("ImageErrorCode", code), message)
        return NormalisedImage(hashlib.sha256(payload).hexdigest(), payload, width, height)

    async def _start(self) -> Process:
        limits = {
            "max_side": self._limits.max_side,
            "max_pixels": self._limits.max_pixels,
            "output_side": self._limits.output_side,
            "memory_bytes": self._limits.memory_bytes,
            "alarm_s": math.ceil(self._limits.deadline_s) + 1,
        }
        script = str(Path(image_worker.__file__))
        try:
            # By path and isolated: importing the package would bring the server's modules along,
            # and the environment holds its keys.
            command = (sys.executable, "-I", script, json.dumps(limits))
            self._worker = worker = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={}, cwd="/"
            )
            async with asyncio.timeout(_START_DEADLINE_S):
                await _stdout(worker).readexactly(len(READY))
        except (OSError, asyncio.IncompleteReadError) as error:
            raise ImageWorkerError("the image worker does not start") from error
        return worker

    async def _kill(self) -> None:
        worker, self._worker = self._worker, None
        if worker is None:
            return
        with contextlib.suppress(ProcessLookupError):
            worker.kill()
        # Reaped even if the caller is being cancelled, or it would stay behind as a zombie.
        await asyncio.shield(worker.wait())


def _stdout(worker: Process) -> asyncio.StreamReader:
    assert worker.stdout is not None
    return worker.stdout


async def _exchange(worker: Process, data: bytes) -> tuple[int, int, int, bytes]:
    """Send one request and read its reply: status, width, height, payload."""
    assert worker.stdin is not None
    worker.stdin.write(LENGTH.pack(len(data)))
    worker.stdin.write(data)
    await worker.stdin.drain()
    status, width, height, length = REPLY.unpack(await _stdout(worker).readexactly(REPLY.size))
    return status, width, height, await _stdout(worker).readexactly(length)
