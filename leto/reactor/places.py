"""The address by which what others do is counted: a bound or a delay for one address must hold for all that one has."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address


def place_of(host: str) -> str:
    """`host` itself for IPv4, IPv4-mapped IPv6 (::ffff:10.0.0.1) and names; of IPv6 the network (/64), since one
    host has all of it."""
    try:
        literal = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if not isinstance(literal, IPv6Address):
        return host
    if literal.ipv4_mapped is not None:
        return str(literal.ipv4_mapped)
    return f"{IPv6Address(int(literal) >> 64 << 64)}/64"
