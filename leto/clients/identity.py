"""Who a client is: where it connected from, how it calls itself, and as whom it may act."""

from __future__ import annotations


class Identity:
    """`peer` and `local` are the connection's two ends as text, `peer_host` and `local_host` the hosts alone. There is
    one user, default; until the client is `authenticated` it may do nothing but become so."""

    __slots__ = (
        "authenticated",
        "created",
        "descriptor",
        "id",
        "library_name",
        "library_version",
        "local",
        "local_host",
        "name",
        "peer",
        "peer_host",
        "user",
    )

    def __init__(self, number: int, authenticated: bool, created: float) -> None:
        """`created`: when it connected, by the reactor's clock."""
        self.id = number
        self.created = created
        self.user = b"default"
        self.authenticated = authenticated
        self.peer = self.peer_host = ""
        self.local = self.local_host = ""
        self.descriptor = -1
        self.name = b""
        self.library_name = b""
        self.library_version = b""
