"""Connections' sockets on one epoll of ours, which the reactor sees as a single descriptor.

The reactor spends more on each readable socket (a logging context, a look at the descriptor, three calls) than the
kernel spends on reading it. Here the sockets that have something are served in a plain loop; everything else stays
Twisted's: a transport asks SocketReaders, as its reactor, to read or not to read from it, and whatever else it asks
goes on to the real one.

What is to be done once for all that has come (`soon`) is done right behind that loop, without a timer of the reactor's.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable, Iterable
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
_SMALL: Final = 479  # bytes read at once where little comes: what the interpreter's own allocator gives memory for
_EAGER: Final = 16  # reads of no more than that until a connection that brought more counts as one of them
MOST_EVENTS: Final = 256  # served at once: the reactor's own are among those that are found, whatever the others do
_ROUND_SECONDS: Final = 0.008  # the reactor's timers have their turn if what has come takes longer than this


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
        self.seconds: Callable[[], float] = reactor.seconds
        self._poll = select.epoll()
        self.wait: Callable[[float, int], list[tuple[int, int]]] = self._poll.poll
        self.fd = self._poll.fileno()
        self._readers: dict[int, Any] = {}
        # What receives, what takes it, and for how many more reads much is expected.
        self._receivers: dict[int, list[Any]] = {}
        self._watched: dict[int, Callable[[], object]] = {}
        self._serving = False
        self._due: list[Callable[[], object]] = []
        self._piece = _PIECE
        self.dependents: list[SocketReaders] = []  # those that are watched here, and end with this one

    def adopt(self, transport: Any) -> None:
        """Read from `transport` here from now on."""
        transport.stopReading()
        transport.reactor = self
        transport.startReading()

    def watch(self, fd: int, readable: Callable[[], object]) -> None:
        """Call `readable`, which must not raise, whenever that descriptor is."""
        self._poll.register(fd, select.EPOLLIN)
        self._watched[fd] = readable
        self._watch_self()

    def unwatch(self, fd: int) -> None:
        """Before it is closed."""
        del self._watched[fd]
        self._poll.unregister(fd)
        self._rest_if_idle()

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
        self._receivers[fd] = [reader.socket.recv, reader.protocol.dataReceived, 0]
        self._watch_self()

    def removeReader(self, reader: Any) -> None:
        readers, fd = self._readers, reader.fileno()
        if readers.get(fd) is not reader:
            return
        del readers[fd], self._receivers[fd]
        self._poll.unregister(fd)
        self._rest_if_idle()

    def _watch_self(self) -> None:
        if len(self._readers) + len(self._watched) == 1:
            self._reactor.addReader(self)

    def _rest_if_idle(self) -> None:
        if not self._readers and not self._watched:
            self._reactor.removeReader(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    # as a descriptor, to the reactor ---------------------------------------------------------------------

    def fileno(self) -> int:
        return self.fd

    def logPrefix(self) -> str:
        return "connections"

    def serve(self, ready: list[tuple[int, int]]) -> None:
        """Read from those, then do what is due behind it: after the reactor's timers, where reading took long."""
        began = self.seconds()
        self._serving = True
        try:
            self._serve(ready)
        finally:
            self._serving = False
        due = self._due
        if due:
            if self.seconds() - began > _ROUND_SECONDS:
                self._reactor.callLater(0, self._do_what_is_due)
                return
            self._due = []
            for call in due:
                call()

    def doRead(self) -> None:
        """What the reactor calls where it waits itself."""
        self.serve(self.wait(0, MOST_EVENTS))

    def _do_what_is_due(self) -> None:
        due, self._due = self._due, []
        for call in due:
            call()

    def _serve(self, ready: Iterable[tuple[int, int]]) -> None:
        receivers, watched = self._receivers, self._watched
        for fd, _ in ready:
            found = receivers.get(fd)
            if found is None:
                if fd in watched:
                    watched[fd]()  # else one before it closed this one
                continue
            receive, take, eager = found
            why: Exception
            try:
                data = receive(self._piece if eager else _SMALL)
                if len(data) >= _SMALL:
                    found[2] = _EAGER
                    if not eager:
                        data += self._receive_rest(receive)
                elif eager:
                    found[2] = eager - 1
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

    def _receive_rest(self, receive: Callable[[int], bytes]) -> bytes:
        """What there is behind _SMALL bytes. An error, or the end, shows again when this connection is next read."""
        try:
            return receive(self._piece - _SMALL)
        except OSError:
            return b""

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
        for dependent in self.dependents:
            dependent.connectionLost(reason)


class Waker:
    """Calls from other threads, through an eventfd among the sockets: they cost the reactor no event of its own."""

    def __init__(self, readers: SocketReaders) -> None:
        self._readers = readers
        self._calls: deque[Callable[[], object]] = deque()
        self._lock = threading.Lock()
        self._is_open = True
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        readers.watch(self._fd, self._run)

    def wake(self, call: Callable[[], object]) -> None:
        """Have it called in the reactor's thread, in the order asked for. From any thread, which may be late: by the
        time that it writes, an earlier caller's turn may have made the call, the last one before the process ends."""
        self._calls.append(call)
        with self._lock:  # else the descriptor may be closed, and another's, when it is written to
            if self._is_open:
                os.eventfd_write(self._fd, 1)

    def _run(self) -> None:
        os.eventfd_read(self._fd)
        calls = self._calls
        while calls:
            call = calls.popleft()
            try:
                call()
            except Exception:  # noqa: BLE001 - the sockets that wait behind it must be served all the same
                self._readers.log.failure("a call from another thread failed")

    def close(self) -> None:
        """Nobody calls any more."""
        self._readers.unwatch(self._fd)
        with self._lock:
            self._is_open = False
            os.close(self._fd)
