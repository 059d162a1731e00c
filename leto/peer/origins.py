"""Where a connection comes from, as an address: this host or another, and how to dial back. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from leto.config import Address


def is_ipv4(host: str) -> bool:
    """Whether `host` is an IPv4 address, not a name."""
    return isinstance(_literal(host), IPv4Address)


def is_ipv6(host: str) -> bool:
    """Whether `host` is an IPv6 address, zone allowed, not a name."""
    return isinstance(_literal(host), IPv6Address)


def is_loopback(host: str) -> bool:
    """Whether a connection from, or a socket bound to, `host` stays on this host."""
    if host == "localhost":
        return True
    literal = _literal(plain(host))
    return literal is not None and literal.is_loopback


def plain(host: str) -> str:
    """`host`; of an IPv4-mapped IPv6 address (::ffff:10.0.0.1) the IPv4 address."""
    literal = _literal(host)
    if isinstance(literal, IPv6Address) and literal.ipv4_mapped is not None:
        return str(literal.ipv4_mapped)
    return host


def dial_back_address(given: str, host: str) -> str:
    """What to dial for a node that calls itself `given` and connected from `host`; "" if it gave nothing.

    An unspecified host (":15379", "0.0.0.0:15379") is where the connection came from.
    """
    if not given:
        return ""
    address = Address.parse(given)
    if address.is_unspecified:
        address = Address(plain(host), address.port)
    return str(address)


def dialable(text: str) -> Address | None:
    """`text` as an address to dial; None if it names no host or port, or is no address at all."""
    try:
        address = Address.parse(text)
    except ValueError:
        return None
    return None if address.is_unspecified or not address.port else address


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
