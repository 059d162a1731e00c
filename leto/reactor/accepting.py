"""Takes connections in slices, and only while descriptors are left for those who need them more.

Twisted's port takes more at a time the more there are: thousands of newcomers then keep heartbeats waiting. This one
takes a few in each turn of the reactor, whoever floods it, and looks at the descriptor of each: the kernel gives the
lowest that is free, so a high one tells that few are left. A newcomer there is told so and closed, before anything is
made for it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable
from typing import Any, Final

from twisted.internet import tcp
from twisted.logger import Logger

from leto.reactor import descriptors
from leto.reactor.notices import Notices

ACCEPTS: Final = 64  # connections that a port takes in one turn, unless it is told otherwise ...
SLICE_SECONDS: Final = 0.004  # ... unless that takes longer than this
_EXHAUSTED: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_THAT_ONE: Final = frozenset((errno.ECONNABORTED, errno.EPERM, errno.EPROTO))  # it is gone, or filtered: the next


class SlicedPort(tcp.Port):
    """A listening socket of the reactor's. `spare`: descriptors that it leaves to others; `accepts`: connections a
    slice; `before`: called before each slice, for a port that is more important.

    The factory may have full(), which gives the bytes to say to a connection that is closed for want of descriptors.
    """

    log = Logger()
    factory: Any
    spare: int
    accepts: int
    before: Callable[[], object] | None
    _notices: Notices
    _reserve: int

    @classmethod
    def adopt(
        cls,
        reactor: Any,
        bound: socket.socket,
        factory: Any,
        spare: int = descriptors.FILES,
        before: Callable[[], object] | None = None,
        accepts: int = ACCEPTS,
    ) -> SlicedPort:
        """Listen on a socket that is bound and listening; the caller's own descriptor stays the caller's."""
        port: SlicedPort = cls._fromListeningDescriptor(reactor, bound.fileno(), bound.family, factory)
        port.spare, port.before, port.accepts = spare, before, accepts
        port._notices = Notices(cls.log, reactor.seconds)
        port._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        port.startListening()
        return port

    def doRead(self) -> None:
        """Somebody connects: take a slice of those who do."""
        if self.before is not None:
            self.before()
        self.take()

    def take(self) -> int:
        """Take a slice of the connections that wait; how many were taken."""
        if not self.connected or self.disconnecting:
            return 0
        seconds = self.reactor.seconds
        until = seconds() + SLICE_SECONDS
        room = descriptors.limit() - self.spare
        taken = 0
        while taken < self.accepts:
            try:
                skt, addr = self.socket.accept()
            except OSError as error:
                if error.errno in _THAT_ONE:
                    taken += 1
                    continue
                if error.errno in _EXHAUSTED:
                    self._shed(error.errno)
                elif error.errno not in (errno.EAGAIN, errno.EINTR):
                    self._notices.warn(("accept",), "cannot take a connection: {error}", error=error)
                return taken
            taken += 1
            if skt.fileno() >= room:
                self._turn_away(skt)
            else:
                self._serve(skt, addr)
            if seconds() > until:
                break
        return taken

    def _serve(self, skt: socket.socket, addr: Any) -> None:
        try:
            if len(addr) == 4:  # IPv6: with the zone, where there is one
                host = socket.getnameinfo(addr, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
                addr = (host, *addr[1:])
            protocol: Any = self.factory.buildProtocol(self._buildAddr(addr))
            if protocol is None:
                skt.close()
                return
            skt.setblocking(False)
            number = self.sessionno
            self.sessionno = number + 1
            protocol.makeConnection(self.transport(skt, protocol, addr, self, number, self.reactor))
        except Exception:  # noqa: BLE001 - as the reactor does: that connection ends, others go on
            self.log.failure("taking a connection failed")
            skt.close()

    def _turn_away(self, skt: socket.socket) -> None:
        """Close it, with a word if the factory has one and the kernel takes it."""
        full = getattr(self.factory, "full", None)
        with contextlib.suppress(OSError):
            if full is not None:
                skt.send(full(), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        skt.close()
        self._notices.warn(
            ("full",),
            "no descriptors are left for connections to port {port} (limit {limit}, {spare} kept for files and "
            "peers): turning them away",
            port=self._realPortNumber,
            limit=descriptors.limit(),
            spare=self.spare,
        )

    def _shed(self, number: int) -> None:
        """Not one descriptor is left. A connection that stays in the queue would wake the reactor again and again: the
        reserved descriptor serves to take it and close it."""
        if self._reserve >= 0:
            os.close(self._reserve)
            self._reserve = -1
        with contextlib.suppress(OSError):
            skt, _ = self.socket.accept()
            self._turn_away(skt)
        self._notices.warn(("shed",), "cannot take connections: {error}", error=os.strerror(number))
        with contextlib.suppress(OSError):
            self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def connectionLost(self, reason: Any) -> None:
        """The port is closed."""
        super().connectionLost(reason)
        if self._reserve >= 0:
            os.close(self._reserve)
            self._reserve = -1
