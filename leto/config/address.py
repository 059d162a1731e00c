"""host:port, as users write it and peers dial it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

LONGEST_ADDRESS = 253 + len("[]:65535")  # characters: a host's name has at most 253 (RFC 1035)


@dataclass(frozen=True, slots=True)
class Address:
    """host:port; the host may be "" (all interfaces, or "as seen by the other side"). IPv6 hosts carry no brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_unspecified(self) -> bool:
        """Whether the host names no one host: "", 0.0.0.0 and [::] mean all interfaces."""
        return self.host in ("", "*", "0.0.0.0", "::")

    @property
    def is_loopback(self) -> bool:
        """Whether a socket bound to it is reached from this host alone."""
        try:
            return self.host == "localhost" or ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return False

    def takes(self, host: str) -> bool:
        """Whether a socket bound to this unspecified address can be reached at `host`: 0.0.0.0 is IPv4 alone, [::] is
        IPv6 alone, no host is both."""
        try:
            literal = ip_address(host.partition("%")[0])
        except ValueError:
            return True  # a name: who knows
        is_ipv4 = literal.version == 4 or literal.ipv4_mapped is not None
        return self.host == "" or is_ipv4 == (self.host != "::")

    @classmethod
    def parse(cls, text: str) -> Address:
        """Parse ":5379", "127.0.0.1:5379", "[::1]:5379" or "host:5379".

        Raises ValueError with a sentence that names the text.
        """
        if len(text) > LONGEST_ADDRESS:
            raise ValueError(f"{text[:32]!r}... is not an address: it has {len(text)} characters")
        host, colon, port = text.rpartition(":")
        if not colon:
            raise ValueError(f"{text!r} is not an address: it has no :port")
        if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
            raise ValueError(f"{text!r} is not an address: the port must be a number from 0 to 65535")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
            if ":" not in host:
                raise ValueError(f"{text!r} is not an address: brackets are for IPv6 hosts")
        elif ":" in host or "[" in host or "]" in host:
            raise ValueError(f"{text!r} is not an address: write an IPv6 host in brackets, [::1]:5379")
        if any(c.isspace() or not c.isprintable() or c == "/" for c in host):
            raise ValueError(f"{text!r} is not an address: the host has a character that no host has")
        return cls(host, int(port))
