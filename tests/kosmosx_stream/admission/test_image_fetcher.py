"""Pictures over https from a real server: what is fetched, what is refused, what it may cost."""

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from kosmosx_stream.admission.image_fetcher import MAX_REDIRECTS, ImageFetcher, resolve
from kosmosx_stream.admission.image_urls import is_public
from kosmosx_stream.admission.images import ImageError

FILE = b"\x89PNG and so on"
LIMIT = 200_000
LOOPBACK = "127.0.0.1"
ANYWHERE = ("pictures.test", "other.test")


def ok(body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def moved(where: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {where}\r\nContent-Length: 5\r\n\r\nmoved".encode()


def chunked(*chunks: bytes) -> bytes:
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framed


ANSWERS: dict[str, bytes] = {
    "/ok": ok(FILE),
    "/chunked": chunked(FILE[:5], FILE[5:]),
    "/query?a=b": ok(FILE),
    "/moved": moved("/ok"),
    "/elsewhere": moved("https://other.test/moved"),
    "/too-far": moved("https://other.test/elsewhere"),
    "/loop": moved("/loop"),
    "/inward": moved("https://inward.test/ok"),
    "/plain": moved("http://pictures.test/ok"),
    "/port": moved("https://pictures.test:22/"),
    "/missing": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    "/declared": b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n" + bytes(300_000),
    "/endless": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n" + bytes(300_000),
    "/short": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
    "/head": b"HTTP/1.1 200 OK\r\nX-Big: " + b"x" * 100_000,
    "/garbage": b"\x00\x01\x02 not http\r\n\r\n",
    "/nothing": b"",
}  # fmt: skip


class Site:
    """An https server that tells what it was asked; its name and addresses are the test's."""

    def __init__(self, server: asyncio.Server, trusted: ssl.SSLContext) -> None:
        self.port = server.sockets[0].getsockname()[1]
        self.trusted = trusted
        self.asked: list[str] = []
        self.resolved: list[str] = []
        self.addresses: dict[str, Sequence[str]] = dict.fromkeys(ANYWHERE, (LOOPBACK,))

    async def resolve(self, host: str) -> Sequence[str]:
        self.resolved.append(host)
        return self.addresses[host]

    def fetcher(
        self, is_public: Callable[[str], bool] = lambda address: address == LOOPBACK
    ) -> ImageFetcher:
        return ImageFetcher(
            max_bytes=LIMIT, resolve=self.resolve, is_public=is_public, tls=self.trusted,
            port=self.port,
        )  # fmt: skip


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of the names in ANYWHERE, in one file."""
    path = tmp_path_factory.mktemp("tls") / "site.pem"
    names = ",".join(f"DNS:{name}" for name in ANYWHERE)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-subj", "/CN=test", "-addext", f"subjectAltName={names}", "-days", "2",
         "-keyout", path, "-out", path.with_suffix(".crt")],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


@pytest.fixture
async def site(certificate: Path) -> AsyncIterator[Site]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split()[1]
            found.asked.append(head)
            if path == "/silent":
                await reader.read()
            writer.write(ANSWERS[path])
            await writer.drain()
        writer.transport.abort() if path == "/silent" else writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(serve, LOOPBACK, 0, ssl=context)
    found = Site(server, ssl.create_default_context(cafile=certificate.with_suffix(".crt")))
    yield found
    server.close()


async def refusal(fetcher: ImageFetcher, url: str) -> str:
    with pytest.raises(ImageError) as refused:
        await fetcher.fetch(url)
    return refused.value.code


@pytest.mark.parametrize("path", ["/ok", "/chunked", "/query?a=b", "/moved", "/elsewhere"])
async def test_a_file_is_fetched(site: Site, path: str) -> None:
    assert await site.fetcher().fetch(f"https://pictures.test{path}") == FILE
    assert len(site.asked) <= 1 + MAX_REDIRECTS
    assert "host: pictures.test\r\n" in site.asked[0].lower()
    assert not {"authorization", "cookie", "referer"} & set(site.asked[0].lower().split(":"))


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/too-far", "image_url_unavailable"), ("/loop", "image_url_unavailable"),
        ("/plain", "invalid_image_url"), ("/port", "invalid_image_url"),
        ("/missing", "image_url_unavailable"), ("/short", "image_url_unavailable"),
        ("/declared", "image_too_large"), ("/endless", "image_too_large"),
        ("/head", "image_url_unavailable"), ("/garbage", "image_url_unavailable"),
        ("/nothing", "image_url_unavailable"),
    ],
)  # fmt: skip
async def test_what_is_no_file_is_refused(site: Site, path: str, code: str) -> None:
    assert await refusal(site.fetcher(), f"https://pictures.test{path}") == code


async def test_a_server_that_says_nothing_is_not_waited_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kosmosx_stream.admission.image_fetcher.DEADLINE_S", 0.2)
    assert await refusal(site.fetcher(), "https://pictures.test/silent") == "image_url_unavailable"


async def test_a_name_that_leads_inward_is_not_connected_to(site: Site) -> None:
    """The real rule: the test's server is on loopback."""
    assert await refusal(site.fetcher(is_public), "https://pictures.test/ok") == (
        "image_url_unavailable"
    )
    assert site.asked == []


async def test_one_inward_address_among_public_ones_is_enough(site: Site) -> None:
    site.addresses["pictures.test"] = (LOOPBACK, "10.0.0.1")
    await refusal(site.fetcher(), "https://pictures.test/ok")
    assert site.asked == []


async def test_a_redirect_inward_is_not_followed(site: Site) -> None:
    site.addresses["inward.test"] = ("169.254.169.254",)
    await refusal(site.fetcher(), "https://pictures.test/inward")
    assert site.resolved == ["pictures.test", "inward.test"]
    assert len(site.asked) == 1


async def test_a_name_is_resolved_once(site: Site) -> None:
    """A second answer would be another one: what was checked is connected to (DNS rebinding)."""
    answers = iter([(LOOPBACK,), ("10.0.0.1",)])

    async def rebind(host: str) -> Sequence[str]:
        site.resolved.append(host)
        return next(answers)

    fetcher = ImageFetcher(
        max_bytes=LIMIT, resolve=rebind, is_public=lambda address: address == LOOPBACK,
        tls=site.trusted, port=site.port,
    )  # fmt: skip
    assert await fetcher.fetch("https://pictures.test/ok") == FILE
    assert site.resolved == ["pictures.test"]


async def test_a_certificate_of_another_name_is_refused(site: Site) -> None:
    site.addresses["foreign.test"] = (LOOPBACK,)
    assert await refusal(site.fetcher(), "https://foreign.test/ok") == "image_url_unavailable"
    assert site.asked == []


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "017700000001", "localhost"])
async def test_odd_ways_to_write_loopback(host: str) -> None:
    """The resolver understands them all, and its answer is what is judged."""
    addresses = await resolve(host)
    assert addresses
    assert not any(map(is_public, addresses))
    assert await refusal(ImageFetcher(max_bytes=LIMIT), f"https://{host}/") == (
        "image_url_unavailable"
    )


@pytest.mark.parametrize("host", ["x" * 64 + ".test", "x" * 300])
async def test_a_host_that_no_name_can_be(host: str) -> None:
    assert await refusal(ImageFetcher(max_bytes=LIMIT), f"https://{host}/") == (
        "image_url_unavailable"
    )
