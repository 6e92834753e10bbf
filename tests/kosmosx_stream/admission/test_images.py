"""Images of strangers, good and bad, through the real worker."""

import asyncio
import base64
import hashlib
import io
import os
import random
import select
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from kosmosx_stream.admission import image_worker
from kosmosx_stream.admission.images import (
    DEFAULT_LIMITS,
    ImageError,
    ImageLimits,
    ImageLoader,
    ImageWorkerError,
    load_data_url,
)

# Two cores may be busy with other things: only the tests about time use the real deadline.
PATIENT = ImageLimits(deadline_s=30.0)


@pytest.fixture(scope="module")
async def loader() -> AsyncIterator[ImageLoader]:
    async with ImageLoader(PATIENT) as images:
        yield images


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def decoded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def png_claiming(width: int, height: int) -> bytes:
    """A sound header over next to no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def data_url(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


RANDOM = random.Random(0)
RED = Image.new("RGB", (40, 20), "red")
NOISE = Image.frombytes("RGB", (64, 64), RANDOM.randbytes(64 * 64 * 3))


# Data URLs


@pytest.mark.parametrize(
    "media_type", ["image/png", "image/jpeg", "IMAGE/WEBP", "image/jpg", "image/png;charset=x"]
)
def test_a_data_url_gives_its_bytes(media_type):
    assert load_data_url(data_url(b"abc", media_type)) == b"abc"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://example.com/a.png", "invalid_image"),
        ("", "invalid_image"),
        ("data:image/png;base64", "invalid_image"),
        ("data:" + "x" * 10_000 + ",", "invalid_image"),
        ("data:image/png,abc", "invalid_image"),
        ("data:image/png;base64,a", "invalid_image"),
        ("data:image/png;base64,YW Jj", "invalid_image"),
        ("data:image/png;base64,YWJj%3D", "invalid_image"),
        ("data:image/png;base64,\ud800é==", "invalid_image"),
        ("data:text/html;base64,YWJj", "unsupported_image"),
        ("data:image/svg+xml;base64,YWJj", "unsupported_image"),
        ("data:image/gif;base64,YWJj", "unsupported_image"),
        ("data:;base64,YWJj", "unsupported_image"),
    ],
)
def test_a_wrong_data_url_says_what_was_expected(url, code):
    with pytest.raises(ImageError, match="expected") as caught:
        load_data_url(url)
    assert caught.value.code == code


def test_a_data_url_is_measured_before_it_is_decoded():
    limits = ImageLimits(max_bytes=3)
    assert load_data_url(data_url(b"abc"), limits) == b"abc"
    with pytest.raises(ImageError, match="at most 3 bytes") as caught:
        load_data_url(data_url(b"abcd"), limits)
    assert caught.value.code == "image_too_large"


# What is taken, and what it becomes


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
async def test_a_good_image_becomes_a_png(loader, kind):
    image = await loader.load(data_url(encoded(RED, kind)))
    assert image.image_id == hashlib.sha256(image.data).hexdigest()
    result = decoded(image.data)
    assert (result.format, result.mode, result.size) == ("PNG", "RGB", (40, 20))
    assert (image.width, image.height) == (40, 20)
    red, green, blue = result.getpixel((20, 10))
    assert red > 240
    assert max(green, blue) < 16


async def test_the_same_file_gives_the_same_id(loader):
    data = encoded(NOISE)
    assert await loader.normalise(data) == await loader.normalise(data)


async def test_a_large_image_is_reduced_to_1024(loader):
    image = await loader.normalise(encoded(Image.new("RGB", (3000, 1500))))
    assert (image.width, image.height) == (1024, 512)
    line = await loader.normalise(encoded(Image.new("RGB", (8192, 1))))
    assert (line.width, line.height) == (1024, 1)


async def test_the_largest_that_is_allowed_is_taken(loader):
    image = await loader.normalise(encoded(Image.new("RGBA", (4096, 4096)), compress_level=1))
    assert (image.width, image.height) == (1024, 1024)


async def test_exif_turns_the_image_and_is_dropped(loader):
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: rotate by 90 degrees clockwise
    exif[0x010E] = "secret place"  # ImageDescription
    data = encoded(RED, "JPEG", exif=exif, comment=b"secret comment")
    image = await loader.normalise(data)
    assert (image.width, image.height) == (20, 40)
    assert b"secret" in data
    assert b"secret" not in image.data
    assert set(decoded(image.data).info) == set()


async def test_text_and_profiles_are_dropped(loader):
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", "secret")
    data = encoded(RED, pnginfo=notes, icc_profile=b"secret", dpi=(72, 72))
    assert set(decoded((await loader.normalise(data)).data).info) == set()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
async def test_alpha_lies_over_white(loader, mode):
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image = await loader.normalise(encoded(clear.convert(mode)))
    assert decoded(image.data).getpixel((4, 4)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("picture", "kind"),
    [
        (Image.new("L", (8, 8), 128), "PNG"),
        (Image.new("I;16", (8, 8), 128 * 257), "PNG"),
        (Image.new("CMYK", (8, 8), (0, 0, 0, 127)), "JPEG"),
    ],
)
async def test_other_modes_keep_their_brightness(loader, picture, kind):
    image = await loader.normalise(encoded(picture, kind))
    assert decoded(image.data).getpixel((4, 4)) == pytest.approx((128,) * 3, abs=2)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
async def test_an_animation_gives_its_first_frame(loader, kind):
    frames = [Image.new("RGB", (8, 8), "white"), Image.new("RGB", (8, 8), "black")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert decoded((await loader.normalise(data)).data).getpixel((4, 4)) == (255, 255, 255)


# What is not taken

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'


UNKNOWN = ("unsupported_image", "expected a JPEG, PNG or WebP image")
BAD_FILES = {
    "empty": (b"", *UNKNOWN),
    "random bytes": (RANDOM.randbytes(5000), *UNKNOWN),
    "SVG": (SVG, *UNKNOWN),
    "GIF": (encoded(RED, "GIF"), *UNKNOWN),
    "BMP": (encoded(RED, "BMP"), *UNKNOWN),
    "TIFF": (encoded(RED, "TIFF"), *UNKNOWN),
    "cut PNG": (encoded(NOISE)[:3000], "invalid_image", "PNG file is truncated"),
    "cut JPEG": (encoded(NOISE, "JPEG")[:900], "invalid_image", "JPEG file is truncated"),
    "cut WebP": (encoded(NOISE, "WEBP")[:900], "invalid_image", "WebP file is truncated"),
    "broken JPEG": (b"\xff\xd8\xff" + RANDOM.randbytes(500), "invalid_image", "JPEG file"),
    "broken PNG": (b"\x89PNG\r\n\x1a\n" + RANDOM.randbytes(500), "invalid_image", "PNG file"),
    "no width": (png_claiming(0, 5), "invalid_image", "broken"),
    "bomb": (png_claiming(50_000, 50_000), "image_too_large", "8,192 pixels a side, got 50,000"),
    "widest bomb": (png_claiming(2**31 - 1, 2**31 - 1), "image_too_large", "pixels a side"),
    "too wide": (png_claiming(8193, 1), "image_too_large", "8,192 pixels a side"),
    "too many pixels": (png_claiming(4097, 4096), "image_too_large", "16,777,216 pixels, got 4,0"),
    "too many bytes": (bytes(DEFAULT_LIMITS.max_bytes + 1), "image_too_large", "8,388,608 bytes"),
}


@pytest.mark.parametrize("name", BAD_FILES)
async def test_a_bad_file_is_refused_and_the_worker_lives(loader, name):
    data, code, message = BAD_FILES[name]
    await loader.normalise(encoded(RED))
    worker = loader.worker_pid
    with pytest.raises(ImageError, match=message) as caught:
        await loader.normalise(data)
    assert caught.value.code == code
    assert str(caught.value).startswith("expected")
    assert loader.worker_pid == worker


async def test_a_text_bomb_in_a_png_is_refused(loader):
    notes = PngImagePlugin.PngInfo()
    for index in range(80):
        notes.add_text(f"k{index}", "0" * 1_000_000, zip=True)
    with pytest.raises(ImageError) as caught:
        await loader.normalise(encoded(RED, pnginfo=notes))
    assert caught.value.code == "invalid_image"


async def test_memory_is_bounded():
    limits = ImageLimits(deadline_s=30.0, memory_bytes=160 * 1024 * 1024)
    async with ImageLoader(limits) as images:
        with pytest.raises(ImageError) as caught:
            await images.normalise(encoded(Image.new("RGBA", (4000, 4000)), compress_level=1))
        assert caught.value.code == "image_too_large"
        await images.normalise(encoded(RED))


# The worker's life


def gone(pid_fd: int, within_s: float = 20.0) -> bool:
    """Whether the process ends in time (pidfd_open(2): readable when it has)."""
    return bool(select.select([pid_fd], [], [], within_s)[0])


async def test_a_worker_that_overruns_is_killed_and_replaced():
    async with ImageLoader(ImageLimits(deadline_s=0.5)) as images:
        with pytest.raises(ImageError):
            await images.normalise(b"")  # starts the worker
        stuck = images.worker_pid
        pid_fd = os.pidfd_open(stuck)
        os.kill(stuck, signal.SIGSTOP)
        with pytest.raises(ImageError, match=r"within 0\.5 s") as caught:
            await images.normalise(encoded(RED))
        assert caught.value.code == "image_timeout"
        assert gone(pid_fd)
        os.close(pid_fd)
        with pytest.raises(ImageError) as caught:
            await images.normalise(b"")
        assert caught.value.code == "unsupported_image"
        assert images.worker_pid not in {None, stuck}


async def test_a_killed_worker_is_replaced_unnoticed():
    async with ImageLoader(PATIENT) as images:
        first = await images.normalise(encoded(RED))
        killed = images.worker_pid
        os.kill(killed, signal.SIGKILL)
        assert await images.normalise(encoded(RED)) == first
        assert images.worker_pid != killed


async def test_a_worker_killed_at_work_is_replaced_unnoticed():
    async with ImageLoader(PATIENT) as images:
        first = await images.normalise(encoded(RED))
        killed = images.worker_pid
        os.kill(killed, signal.SIGSTOP)  # so that it is at work for certain
        again = asyncio.create_task(images.normalise(encoded(RED)))
        await asyncio.sleep(0)  # let it take the worker
        os.kill(killed, signal.SIGKILL)
        assert await again == first


async def test_cancelling_leaves_no_half_answer_behind():
    async with ImageLoader(PATIENT) as images:
        expected = await images.normalise(encoded(NOISE))
        os.kill(images.worker_pid, signal.SIGSTOP)
        cancelled = asyncio.create_task(images.normalise(encoded(RED)))
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert await images.normalise(encoded(NOISE)) == expected


async def test_many_at_once_each_get_their_own(loader):
    pictures = [Image.new("RGB", (10 + index, 10)) for index in range(12)]
    results = await asyncio.gather(*(loader.normalise(encoded(each)) for each in pictures))
    assert [each.width for each in results] == [each.width for each in pictures]


async def test_a_worker_that_cannot_start_is_the_server_s_fault(monkeypatch):
    async with ImageLoader() as images:
        monkeypatch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(ImageWorkerError):
            await images.normalise(encoded(RED))
        monkeypatch.setattr(sys, "executable", "/nonexistent")
        with pytest.raises(ImageWorkerError):
            await images.normalise(encoded(RED))
        assert images.worker_pid is None


SERVER = """
import asyncio
from kosmosx_stream.admission.images import ImageLoader, ImageError

async def main():
    images = ImageLoader()
    try:
        await images.normalise(b"")
    except ImageError:
        print(images.worker_pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_the_worker_dies_with_a_server_that_is_killed():
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE) as server:
        pid_fd = os.pidfd_open(int(server.stdout.readline()))
        server.kill()
        assert gone(pid_fd)
        os.close(pid_fd)


def test_the_worker_ends_when_its_pipe_closes():
    limits = '{"memory_bytes": 1073741824, "alarm_s": 3}'
    command = [sys.executable, "-I", image_worker.__file__, limits]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout.read(1) == image_worker.READY
        worker.stdin.close()
        assert worker.wait(20) == 0


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


async def test_the_worker_holds_none_of_the_server_s_secrets(monkeypatch):
    monkeypatch.setenv("STRIPE_API_KEY", "sk_secret")
    async with ImageLoader(PATIENT) as images:
        await images.normalise(encoded(RED))
        assert b"sk_secret" not in environment_of(images.worker_pid)
