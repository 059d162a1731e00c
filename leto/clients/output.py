"""Where replies go: at once to the socket when nothing waits before them, else through Twisted's buffers.

`transport.write` alone arms and disarms the reactor's poller for every reply. SocketOutput asks the kernel first;
what the kernel does not take is kept here and given to Twisted piece by piece, as a pull producer, so that order,
loseConnection and the size of what waits stay right. BufferedOutput does the same as a push producer for
transports that have no socket of their own (TLS, tests).
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import IPullProducer, IPushProducer
from zope.interface import implementer

from leto.reactor.sockets import is_plain

PIECE = 256 * 1024  # bytes handed to Twisted at a time
_JOINED = 16 * 1024  # shorter replies that wait are gathered: as objects of their own they would take many times more


class Output(Protocol):
    """One client's way out."""

    unsent: int  # bytes that wait here because the client does not take them
    taken: int  # bytes that waited here once and were handed on: it grows while the client takes anything
    blocks: deque[memoryview | bytearray]  # what waits
    handed: int  # bytes that Twisted has been given and has not sent, at most

    @property
    def straight(self) -> Callable[[bytes], int] | None:
        """While nothing waits: sends as much as it can, and gives how many bytes these are. It may raise OSError: then
        nothing was sent, and write() sees to it. What is left is for write(). None while all is for write()."""

    def write(self, data: bytes) -> None:
        """Send, in order. Never blocks or raises."""

    def close(self) -> None:
        """Close the connection once all that was written is sent."""

    def abort(self) -> None:
        """Close at once, dropping what waits."""

    def detach(self) -> None:
        """The connection is gone: `drained` is called no more, and not kept."""


def _nobody() -> None:
    """There is no connection any more."""


class _Waiting:
    """What the outputs share: bytes that wait, given out in pieces."""

    def __init__(self, drained: Callable[[], None]) -> None:
        self._drained = drained
        self.blocks: deque[memoryview | bytearray] = deque()
        self._tail: bytearray | None = None  # the last block, if more may be added to it
        self.unsent = 0
        self.taken = 0
        self.handed = 0

    def detach(self) -> None:
        self._drained = _nobody

    def _put(self, data: bytes | memoryview) -> None:
        size = len(data)
        self.unsent += size
        if size >= _JOINED:
            self.blocks.append(memoryview(data))
            self._tail = None
        elif self._tail is not None and len(self._tail) < PIECE:
            self._tail += data
        else:
            self._tail = bytearray(data)
            self.blocks.append(self._tail)

    def _take(self) -> bytes:
        """Up to PIECE bytes."""
        taken: list[memoryview] = []
        room = PIECE
        while room and self.blocks:
            block = self.blocks.popleft()
            if block is self._tail:
                self._tail = None
            view = memoryview(block)
            if len(view) > room:
                self.blocks.appendleft(view[room:])
                view = view[:room]
            taken.append(view)
            room -= len(view)
        piece = b"".join(taken)
        self.handed = len(piece)
        self.unsent -= len(piece)
        self.taken += len(piece)
        return piece

    def _clear(self) -> None:
        self.blocks.clear()
        self._tail = None
        self.unsent = self.handed = 0


@implementer(IPullProducer)
class SocketOutput(_Waiting):
    """For a plain TCP or UNIX connection of Twisted's. `drained` is called whenever all has been sent."""

    def __init__(self, transport: Any, drained: Callable[[], None]) -> None:
        super().__init__(drained)
        self._transport = transport
        self._send: Callable[[bytes], int] = transport.getHandle().send
        self.straight: Callable[[bytes], int] | None = self._send
        self._producing = False  # Twisted has bytes of ours and will ask for more
        self._registering = False
        self._closing = False
        self._gone = False

    def write(self, data: bytes) -> None:
        if self._gone or self._closing:
            return
        if self._producing:
            self._put(data)
            return
        try:
            sent = self._send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.straight = None
            self._transport.write(data)  # Twisted meets the same error, and ends the connection its way
            return
        if sent < len(data):
            self._put(memoryview(data)[sent:])
            self._producing = True
            self.straight = None
            self._transport.write(self._take())
            self._registering = True  # a pull producer is asked at once; Twisted has its piece already
            self._transport.registerProducer(self, False)
            self._registering = False

    def close(self) -> None:
        self._closing = True
        self.straight = None
        if not self._producing:
            self._transport.loseConnection()

    def abort(self) -> None:
        self._clear()
        self._gone = True
        self.straight = None
        self._transport.abortConnection()

    def resumeProducing(self) -> None:
        """Twisted has sent what it had."""
        if self._registering:
            return
        if self.unsent:
            self._transport.write(self._take())
            return
        self._transport.unregisterProducer()
        self._producing = False
        self.handed = 0
        if self._closing:
            self._transport.loseConnection()
        else:
            self.straight = self._send
            self._drained()

    def stopProducing(self) -> None:
        """The connection is lost."""
        self._gone = True
        self.straight = None
        self._producing = False
        self._clear()


@implementer(IPushProducer)
class BufferedOutput(_Waiting):
    """For any other transport."""

    def __init__(self, transport: Any, drained: Callable[[], None]) -> None:
        super().__init__(drained)
        self._transport = transport
        self._paused = False
        self._closing = False
        self._gone = False
        transport.registerProducer(self, True)

    @property
    def straight(self) -> Callable[[bytes], int] | None:
        return None if self.unsent or self._gone or self._closing else self._pass_on

    def _pass_on(self, data: bytes) -> int:
        if self._paused or len(data) > PIECE:
            return 0
        self._transport.write(data)
        return len(data)

    def write(self, data: bytes) -> None:
        if self._gone or self._closing:
            return
        if self._paused or len(data) > PIECE:
            self._put(data)
            self._pour()
        else:
            self._transport.write(data)

    def close(self) -> None:
        self._closing = True
        if not self.unsent:
            self._lose()

    def abort(self) -> None:
        self._clear()
        self._gone = True
        self._transport.abortConnection()

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self.handed = 0
        self._pour()
        if not self.unsent and not self._gone:
            if self._closing:
                self._lose()
            else:
                self._drained()

    def stopProducing(self) -> None:
        self._gone = True
        self._clear()

    def _pour(self) -> None:
        while self.unsent and not self._paused:
            self._transport.write(self._take())

    def _lose(self) -> None:
        if not self._gone:
            self._gone = True
            self._transport.unregisterProducer()
            self._transport.loseConnection()


def output_for(transport: Any, drained: Callable[[], None]) -> Output:
    """The fastest output that is right for `transport`."""
    if is_plain(transport) and type(transport.getHandle()) is socket.socket:
        return SocketOutput(transport, drained)
    return BufferedOutput(transport, drained)
