"""Which names the admin port answers to.

A page of another site can make a browser ask this port, by a name of its own that resolves to this node's address (DNS
rebinding), and read the answer. What the browser cannot do is hide that name: it is in the Host header. So names that
nobody here has given are not answered; addresses are, for no site is called by one that is not its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address


def is_answered_to(headers: Sequence[bytes], names: frozenset[str]) -> bool:
    """`headers`: the values of the request's Host headers. One without any (HTTP/1.0) comes from no browser.

    `names`: those that are answered to besides localhost, in lower case.
    """
    if not headers:
        return True
    if len(headers) > 1:
        return False
    host = host_of(headers[0].decode("latin-1"))
    if host == "localhost" or host in names:
        return True
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def host_of(header: str) -> str:
    """The host of a Host header, in lower case, without brackets and the root's dot."""
    text = header.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].removesuffix(".")


def refusal(headers: Sequence[bytes]) -> str:
    """What one is told who asks by another name."""
    given = ", ".join(host_of(header.decode("latin-1"))[:100] for header in headers)
    return (
        f"this admin port does not answer to the name {given!r}: use an address, or start the node with --admin-hosts"
    )
