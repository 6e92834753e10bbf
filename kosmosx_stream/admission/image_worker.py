"""The image decoder's process: a file in, a small RGB PNG or a reason out, over its pipes.

It runs as a script of its own (`python -I image_worker.py LIMITS`), with nothing of the server in
it: what decodes bytes of strangers shall have no keys in its memory and a bound on that memory.
`images.py` starts it, asks it and kills it.

Pipe: a request is `LENGTH` and the file. A reply is `REPLY` and its payload: status 0 with width,
height and a PNG, or status 1 with `code` newline `message`. Once ready it writes one `READY` byte.
"""

import contextlib
import ctypes
import io
import json
import resource
import signal
import struct
import sys
import warnings
from typing import BinaryIO

from PIL import Image, ImageOps, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

LENGTH = struct.Struct(">I")
REPLY = struct.Struct(">BIII")  # status, width, height, length of the payload
READY = b"\x01"

FORMATS = ("JPEG", "PNG", "WEBP")
PLUGINS = (JpegImagePlugin, PngImagePlugin, WebPImagePlugin)  # imported before the limits hold
EXPECTED = "expected a JPEG, PNG or WebP image"
PR_SET_PDEATHSIG = 1  # prctl(2)


class RefusedError(Exception):
    """The image is not taken; `code` and the message go to the client."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def signature(data: bytes) -> str | None:
    """The format that the file's first bytes claim."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    return None


def check_size(size: tuple[int, int], max_side: int, max_pixels: int) -> None:
    width, height = size
    if max(size) > max_side:
        raise RefusedError(
            "image_too_large",
            f"expected at most {max_side:,} pixels a side, got {width:,} x {height:,}",
        )
    if width * height > max_pixels:
        raise RefusedError(
            "image_too_large",
            f"expected at most {max_pixels:,} pixels, got {width:,} x {height:,}",
        )


def flatten(image: Image.Image) -> Image.Image:
    """RGB, alpha over white; a new image, so that no metadata comes along."""
    if image.mode.startswith("I"):
        # Sixteen bits of grey: Pillow's own conversion clips at 255 instead of scaling.
        image = image.convert("I").point([level // 257 for level in range(65_536)], "L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        plain = Image.new("RGB", image.size, "white")
        plain.paste(image, mask=image.getchannel("A"))
        return plain
    plain = Image.new("RGB", image.size)
    plain.paste(image.convert("RGB"))
    return plain


def normalise(data: bytes, limits: dict[str, int]) -> tuple[int, int, bytes]:
    """Width, height and PNG of the file's first frame, upright and no larger than wanted."""
    claimed = signature(data)
    if claimed is None:
        raise RefusedError("unsupported_image", EXPECTED)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            check_size(image.size, limits["max_side"], limits["max_pixels"])
            upright = ImageOps.exif_transpose(image)
        side = limits["output_side"]
        plain = flatten(upright)
        if max(plain.size) > side:
            plain.thumbnail((side, side), Image.Resampling.LANCZOS)
    except MemoryError:
        raise RefusedError("image_too_large", "expected an image that needs less memory") from None
    except RefusedError:
        raise
    except Exception as error:  # decoders raise what they like: SyntaxError, struct.error, …
        raise RefusedError(
            "invalid_image", f"{EXPECTED}; this {claimed} file is truncated or broken"
        ) from error
    out = io.BytesIO()
    plain.save(out, "PNG", compress_level=4)
    return *plain.size, out.getvalue()


def confine(memory_bytes: int) -> None:
    """No files, bounded memory, no life after the server's."""
    with contextlib.suppress(AttributeError, OSError):  # Linux alone has prctl
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # Interrupts are the server's: Ctrl-C at a terminal reaches the whole process group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
    with contextlib.suppress(ValueError, OSError):  # macOS refuses this one
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def answer(data: bytes, limits: dict[str, int]) -> bytes:
    try:
        width, height, png = normalise(data, limits)
    except RefusedError as refused:
        payload = f"{refused.code}\n{refused}".encode()
        return REPLY.pack(1, 0, 0, len(payload)) + payload
    return REPLY.pack(0, width, height, len(png)) + png


def serve(requests: BinaryIO, replies: BinaryIO, limits: dict[str, int]) -> None:
    """Answer until the pipe closes, which it does when the server is gone."""
    replies.write(READY)
    replies.flush()
    while len(header := requests.read(LENGTH.size)) == LENGTH.size:
        (length,) = LENGTH.unpack(header)
        data = requests.read(length)
        if len(data) < length:
            return
        # Should the server be gone or stuck while this decodes: SIGALRM ends the process.
        signal.alarm(limits["alarm_s"])
        reply = answer(data, limits)
        signal.alarm(0)
        replies.write(reply)
        replies.flush()


def main() -> None:
    limits: dict[str, int] = json.loads(sys.argv[1])
    warnings.simplefilter("ignore")  # Pillow's about bombs: the size is checked here
    Image.MAX_IMAGE_PIXELS = None
    Image.init()
    confine(limits["memory_bytes"])
    serve(sys.stdin.buffer, sys.stdout.buffer, limits)


if __name__ == "__main__":
    main()
