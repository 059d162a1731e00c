"""Connections' sockets on one epoll of ours, which the reactor sees as a single descriptor.

The reactor spends more on each readable socket (a logging context, a look at the descriptor, three calls) than the
kernel spends on reading it. Here the sockets that have something are served in a plain loop; everything else stays
Twisted's: a transport asks SocketReaders, as its reactor, to read or not to read from it, and whatever else it asks
goes on to the real one.

What is to be done once for all that has come (`soon`) is done right behind that loop, without a timer of the reactor's.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any, Final

from twisted.internet import tcp
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableDescriptor, IReadDescriptor
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

IS_AVAILABLE = hasattr(select, "epoll")
_PIECE: Final = 1 << 16  # bytes read at once, as Twisted's transports do


def is_plain(transport: Any) -> bool:
    """Whether what comes over that transport's socket is what its protocol receives: no TLS, no test's transport."""
    return isinstance(transport, tcp.Connection) and not getattr(transport, "TLS", False)


@implementer(IReadDescriptor)
class SocketReaders:
    """Known to the reactor only while it has sockets to watch. `adopt` takes a plain TCP or UNIX transport over, whose
    protocol's dataReceived stays the same from then on."""

    log = Logger()

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._poll = select.epoll()
        self._readers: dict[int, Any] = {}
        self._receivers: dict[int, tuple[Callable[[int], bytes], Callable[[bytes], object]]] = {}
        self._serving = False
        self._due: list[Callable[[], object]] = []

    def adopt(self, transport: Any) -> None:
        """Read from `transport` here from now on."""
        transport.stopReading()
        transport.reactor = self
        transport.startReading()

    def soon(self, call: Callable[[], object]) -> None:
        """Call it, which must not raise, once all that has come by now is taken in."""
        if self._serving:
            self._due.append(call)
        else:
            self._reactor.callLater(0, call)

    # as a reactor, to the transports -------------------------------------------------------------------

    def addReader(self, reader: Any) -> None:
        readers, fd = self._readers, reader.fileno()
        if fd in readers:
            return
        self._poll.register(fd, select.EPOLLIN)
        readers[fd] = reader
        self._receivers[fd] = reader.socket.recv, reader.protocol.dataReceived
        if len(readers) == 1:
            self._reactor.addReader(self)

    def removeReader(self, reader: Any) -> None:
        readers, fd = self._readers, reader.fileno()
        if readers.get(fd) is not reader:
            return
        del readers[fd], self._receivers[fd]
        self._poll.unregister(fd)
        if not readers:
            self._reactor.removeReader(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    # as a descriptor, to the reactor ---------------------------------------------------------------------

    def fileno(self) -> int:
        return self._poll.fileno()

    def logPrefix(self) -> str:
        return "connections"

    def doRead(self) -> None:
        """Some sockets have something to read, or have ended."""
        self._serving = True
        try:
            self._serve()
        finally:
            self._serving = False
        if self._due:
            due, self._due = self._due, []
            for call in due:
                call()

    def _serve(self) -> None:
        receivers = self._receivers
        for fd, _ in self._poll.poll(0, len(receivers) or 1):
            found = receivers.get(fd)
            if found is None:
                continue  # one before it closed this one
            receive, take = found
            why: Exception
            try:
                data = receive(_PIECE)
            except BlockingIOError:
                continue
            except OSError:
                why = CONNECTION_LOST
            else:
                if data:
                    try:
                        take(data)
                        continue
                    except Exception as error:  # noqa: BLE001 - as the reactor does: that connection ends, others go on
                        self.log.failure("taking what a connection brought failed")
                        why = error
                else:
                    why = CONNECTION_DONE
            self._disconnect(fd, why)

    def _disconnect(self, fd: int, why: Exception) -> None:
        reader = self._readers.get(fd)
        if reader is None:
            return  # it has closed itself meanwhile
        self.removeReader(reader)
        if isinstance(why, ConnectionDone) and IHalfCloseableDescriptor.providedBy(reader):
            reader.readConnectionLost(Failure(why))
        else:
            self._reactor.removeWriter(reader)
            reader.connectionLost(Failure(why))

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends, and disconnects what is left."""
        for reader in tuple(self._readers.values()):
            reader.connectionLost(reason)
