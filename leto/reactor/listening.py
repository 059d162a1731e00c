"""Takes listening sockets before the reactor runs, so that a port in use is known while a start can still fail."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred

from leto.config import Address
from leto.errors import CannotListen
from leto.reactor import descriptors
from leto.reactor.accepting import ACCEPTS, SlicedPort

_BACKLOG = 4096  # the kernel caps it at net.core.somaxconn


class Listener:
    """The sockets of one address: two (IPv4 and IPv6) where the address names no host."""

    def __init__(self, sockets: list[socket.socket], spare: int = descriptors.FILES) -> None:
        self._sockets = sockets
        self._spare = spare
        self._ports: list[SlicedPort] = []

    @classmethod
    def bind(cls, address: Address, option: str, spare: int = descriptors.FILES) -> Listener:
        """Bind and listen. `spare`: descriptors that its connections leave to others.

        Raises CannotListen, with a line that names the option, if that cannot be.
        """
        attempts = 8 if address.port == 0 else 1  # a port free on IPv4 may be taken on IPv6
        while True:
            attempts -= 1
            try:
                return cls(_bind_all(address), spare)
            except OSError as error:
                in_use = error.errno == errno.EADDRINUSE
                if in_use and attempts:
                    continue
                reason = "the port is in use" if in_use else error.strerror or str(error)
                raise CannotListen(f"cannot listen on {address} ({option}): {reason}") from None

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """They listen, and do not block."""
        return self._sockets

    @property
    def address(self) -> Address:
        """Where it listens, with the port that the system picked if 0 was asked for."""
        return Address(*self._sockets[0].getsockname()[:2])

    def serve(self, reactor: Any, factory: Any, after: Listener | None = None, accepts: int = ACCEPTS) -> None:
        """Hand the sockets to the reactor: connections that waited in the backlog are accepted from now on, `accepts` a
        turn, those to `after` first."""
        before = after.take if after is not None else None
        for bound in self._sockets:
            self._ports.append(SlicedPort.adopt(reactor, bound, factory, self._spare, before, accepts))

    def take(self) -> None:
        """Accept a slice of the connections that wait, now."""
        for port in self._ports:
            port.take()

    def pause(self) -> Deferred[None]:
        """Accept no more for now: connections wait in the backlog for the next serve()."""
        closing = [maybeDeferred(port.stopListening) for port in self._ports]
        self._ports.clear()
        return gatherResults(closing, consumeErrors=True).addCallback(lambda _: None)

    def close(self) -> Deferred[None]:
        """Stop listening; connections already accepted go on. Fires when the reactor has let go of the ports."""
        for bound in self._sockets:
            bound.close()
        return self.pause()


def _bind_all(address: Address) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for family, sockaddr in _resolve(address):
            port = address.port or (sockets[0].getsockname()[1] if sockets else 0)
            bound = _bind(family, (sockaddr[0], port, *sockaddr[2:]))
            if bound is not None:
                sockets.append(bound)
        if not sockets:
            raise OSError(errno.EADDRNOTAVAIL, "no such address on this host")
    except OSError:
        for bound in sockets:
            bound.close()
        raise
    return sockets


def _resolve(address: Address) -> list[tuple[socket.AddressFamily, tuple[Any, ...]]]:
    if not address.host:
        return [(socket.AF_INET, ("0.0.0.0", address.port)), (socket.AF_INET6, ("::", address.port, 0, 0))]
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, sockaddr) for family, _, _, _, sockaddr in found))


def _bind(family: socket.AddressFamily, sockaddr: tuple[Any, ...]) -> socket.socket | None:
    """A listening socket, or None if this host has no such address (IPv6 switched off, say)."""
    try:
        bound = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:
            return None
        raise
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(sockaddr)
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        if family == socket.AF_INET6 and error.errno == errno.EADDRNOTAVAIL:
            return None
        raise
    return bound
