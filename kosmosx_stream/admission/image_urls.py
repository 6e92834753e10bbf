"""Which URLs pictures may be fetched from: syntax and addresses, without touching the network.

One parse, and what it gives is what is connected to: two parsers that disagree about a URL are how
checks are passed by (CVE-2026-24779). Addresses are judged after the name was resolved.
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import msgspec

MAX_URL = 2048
HTTPS_PORT = 443

# RFC 3986, and stricter: a name or an address, no user, no other port, nothing unescaped. What
# lies outside of this means different things to different parsers.
_URL = re.compile(
    r"https://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)(?::443)?"
    r"(?P<target>/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?"
    r"(?P<query>\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
    r"(?:#[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?",
    re.ASCII | re.IGNORECASE,
)

GLOBAL_UNICAST = IPv6Network("2000::/3")
"""RFC 4291 2.4: the part of IPv6 that is handed out to everybody."""
_NAT64 = IPv6Network("64:ff9b::/96")
"""RFC 6052 2.1: IPv4 addresses as hosts without IPv4 see them."""
_TUNNELS = (IPv6Network("2001::/32"), IPv6Network("2002::/16"), IPv4Network("192.88.99.0/24"))
"""Teredo and 6to4 lead to an IPv4 address of their writer's choice; nobody needs them."""


class UnfitUrl(Exception):
    """Not a URL that a picture is fetched from; the message says what was expected."""


class Target(msgspec.Struct, frozen=True):
    """Where to fetch: `host` as it is resolved and verified, `path` as it is sent."""

    host: str
    path: str

    @property
    def authority(self) -> str:
        """The Host header."""
        return f"[{self.host}]" if ":" in self.host else self.host


def parse(url: str, allowed_hosts: tuple[str, ...] = ()) -> Target:
    """Take an https URL apart.

    `allowed_hosts`: names, each with all below it; none allows any.

    Raises:
        UnfitUrl: it is no plain https URL, or leads to a host that is not allowed.
    """
    if len(url) > MAX_URL:
        raise UnfitUrl(f"expected a URL of at most {MAX_URL} characters")
    found = _URL.fullmatch(url)
    if found is None:
        raise UnfitUrl("expected a plain https URL: https://host/path, without user or port")
    host = found["host"].strip("[]").lower()
    if allowed_hosts and not any(_below(host, allowed.lower()) for allowed in allowed_hosts):
        raise UnfitUrl(f"pictures are not fetched from '{host}' here")
    return Target(host, (found["target"] or "/") + (found["query"] or ""))


def is_public(address: str) -> bool:
    """Whether an address is everybody's: not this machine's, this network's, or a special one."""
    ip = _plain(ip_address(address))
    if isinstance(ip, IPv6Address) and ip not in GLOBAL_UNICAST:
        return False
    special = ip.is_multicast or ip.is_reserved or any(ip in tunnel for tunnel in _TUNNELS)
    return ip.is_global and not special


def _plain(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return ip.ipv4_mapped
        if ip in _NAT64:
            return IPv4Address(ip.packed[-4:])
    return ip


def _below(host: str, allowed: str) -> bool:
    return host == allowed or host.endswith(f".{allowed}")
