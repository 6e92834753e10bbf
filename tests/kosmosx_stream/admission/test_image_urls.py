"""Which URLs and addresses pictures may come from: pure, on the tricks that others fell for."""

from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kosmosx_stream.admission.image_urls import MAX_URL, Target, UnfitUrl, is_public, parse

INWARD = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1",
    "169.254.169.254", "169.254.170.2", "192.0.0.170", "198.18.0.1", "224.0.0.1", "240.0.0.1",
    "255.255.255.255", "192.88.99.1", "::", "::1", "::7f00:1", "fe80::1", "fe80::1%eth0",
    "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "64:ff9b:1::1",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"]
IPV4 = st.ip_addresses(v=4)


@pytest.mark.parametrize("address", INWARD)
def test_what_lies_inward_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_everybody_s_is_public(address: str) -> None:
    assert is_public(address)


@given(IPV4)
@example(IPv4Address("169.254.169.254"))
def test_an_address_in_disguise_is_judged_as_itself(address: IPv4Address) -> None:
    number = int(address)
    for disguise in ((0xFFFF << 32), (0x64_FF9B << 96)):
        assert is_public(str(IPv6Address(disguise | number))) == is_public(str(address))


@given(IPV4, IPV4)
def test_no_tunnel_is_public(one: IPv4Address, other: IPv4Address) -> None:
    sixtofour = (0x2002 << 112) | (int(one) << 80)
    teredo = (0x2001_0000 << 96) | (int(one) << 64) | int(other)
    compatible = int(one)
    assert not any(is_public(str(IPv6Address(each))) for each in (sixtofour, teredo, compatible))


@given(st.ip_addresses())
def test_nothing_private_is_ever_public(address: IPv4Address | IPv6Address) -> None:
    inward = address.is_private or address.is_loopback or address.is_link_local
    assert not (
        is_public(str(address)) and inward and getattr(address, "ipv4_mapped", None) is None
    )


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com", Target("example.com", "/")),
        ("HTTPS://Example.COM:443/A.png?b=C#d", Target("example.com", "/A.png?b=C")),
        ("https://a-b.example.com/x%20y/%2e%2e/z", Target("a-b.example.com", "/x%20y/%2e%2e/z")),
        ("https://[2606:4700::1111]/x", Target("2606:4700::1111", "/x")),
        ("https://1.1.1.1?x=/y", Target("1.1.1.1", "/?x=/y")),
    ],
)
def test_a_plain_url(url: str, target: Target) -> None:
    assert parse(url) == target


@pytest.mark.parametrize(
    "url",
    [
        # Where one parser sees example.com, another goes to 127.0.0.1.
        "https://example.com\\@127.0.0.1/", "https://127.0.0.1\\@example.com/",
        "https://example.com\\.127.0.0.1/", "https://127.0.0.1\\.example.com/",
        "https://example.com@127.0.0.1/", "https://user:pass@example.com/",
        "https://127.0.0.1?@example.com/x\\y", "https://127.0.0.1#\\@example.com/",
        "https://example.com\t/", "https://exam\nple.com/", " https://example.com/",
        "https://example.com /", "https:/example.com/", "https:///example.com/",
        "https:\\\\example.com/", "https://example.com\r\nHost: x/", "https://example.com/\r\nX: y",
        "https://ex\u3002ample.com/", "https://\u24d4xample.com/", "https://example.com/\u00e9",
        "https://[::1", "https://::1/", "https://[fe80::1%25eth0]/", "https://.example.com/",
        "https://example.com:22/", "https://example.com:/", "https://example.com:0443/",
        "http://example.com/", "ftp://example.com/", "file:///etc/passwd", "gopher://x/", "", "x",
        "https://example.com/" + "x" * MAX_URL,
    ],
)  # fmt: skip
def test_cve_2026_24779_no_url_means_two_things(url: str) -> None:
    """vLLM checked the host by one parser and fetched by another: they differ about backslashes."""
    with pytest.raises(UnfitUrl, match="expected"):
        parse(url)


@given(st.text(st.sampled_from("ab1.:/\\@#?%[]-_ \t\r\n\u3002é"), max_size=30))
@example("127.0.0.1#@example.com/")
def test_what_is_taken_means_the_same_to_others(rest: str) -> None:
    url = f"https://{rest}"
    try:
        target = parse(url)
    except UnfitUrl:
        return
    other = urlsplit(url)
    assert (other.scheme, other.hostname, other.username) == ("https", target.host, None)
    assert other.port in {None, 443}
    assert target.path == (other.path or "/") + (
        f"?{other.query}" if "?" in url.split("#", maxsplit=1)[0] else ""
    )
    assert target.path.isascii()
    assert target.path.isprintable()
    assert " " not in target.path


ALLOWED = ("Example.com", "cdn.net")


@pytest.mark.parametrize("host", ["example.com", "img.example.com", "EXAMPLE.com", "cdn.net"])
def test_a_listed_host(host: str) -> None:
    assert parse(f"https://{host}/", ALLOWED).host == host.lower()


@pytest.mark.parametrize("host", ["example.com.evil.net", "notexample.com", "com", "[::1]"])
def test_a_host_that_is_not_listed(host: str) -> None:
    with pytest.raises(UnfitUrl, match="not fetched"):
        parse(f"https://{host}/", ALLOWED)
