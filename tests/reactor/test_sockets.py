"""All clients' sockets behind one descriptor of the reactor."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from twisted.internet import reactor as global_reactor
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from leto.reactor.sockets import SocketReaders, Waker


class Descriptors:
    """What a reactor knows of readers and writers."""

    def __init__(self) -> None:
        self.readers: list[Any] = []
        self.unwritten: list[Any] = []
        self.delayed: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)

    def removeWriter(self, writer: Any) -> None:
        self.unwritten.append(writer)

    def callLater(self, delay: float, call: Any) -> None:
        self.delayed.append((delay, call))

    def seconds(self) -> float:
        return 7.0


class Reader:
    """A transport, as far as reading goes."""

    def __init__(self, readers: SocketReaders) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.socket, self.protocol = self.ours, self
        self.readers = readers
        self.reactor: Any = None
        self.heard: list[bytes] = []
        self.lost: list[Any] = []
        self.half_lost: list[Any] = []
        self.then: Any = None

    def fileno(self) -> int:
        return self.ours.fileno()

    def dataReceived(self, data: bytes) -> None:
        self.heard.append(data)
        if self.then is not None:
            self.then()

    def connectionLost(self, reason: Failure) -> None:
        self.lost.append(reason.type)
        self.readers.removeReader(self)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


@implementer(IHalfCloseableDescriptor)
class HalfCloseable(Reader):
    def readConnectionLost(self, reason: Failure) -> None:
        self.half_lost.append(reason.type)


@pytest.fixture
def reactor() -> Descriptors:
    return Descriptors()


@pytest.fixture
def readers(reactor: Descriptors) -> SocketReaders:
    return SocketReaders(reactor)


@pytest.fixture
def three(readers: SocketReaders) -> Iterator[list[Reader]]:
    made = [Reader(readers), HalfCloseable(readers), Reader(readers)]
    for reader in made:
        readers.addReader(reader)
    yield made
    for reader in made:
        readers.removeReader(reader)
        reader.close()


def test_the_reactor_sees_one_descriptor_and_only_while_there_are_sockets(
    reactor: Descriptors, readers: SocketReaders, three: list[Reader]
) -> None:
    assert reactor.readers == [readers]
    readers.addReader(three[0])  # twice is once
    for reader in three:
        assert reactor.readers == [readers]
        readers.removeReader(reader)
        readers.removeReader(reader)
    assert reactor.readers == []


def test_those_that_have_something_are_read_and_no_others(readers: SocketReaders, three: list[Reader]) -> None:
    three[0].theirs.send(b"a")
    three[2].theirs.send(b"c")
    readers.doRead()
    readers.doRead()
    assert [reader.heard for reader in three] == [[b"a"], [], [b"c"]]


def test_a_removed_one_is_not_read(readers: SocketReaders, three: list[Reader]) -> None:
    readers.removeReader(three[0])
    three[0].theirs.send(b"a")
    readers.doRead()
    assert three[0].heard == []
    readers.addReader(three[0])
    readers.doRead()
    assert three[0].heard == [b"a"]


def test_one_that_another_removes_in_the_same_turn_is_not_read(readers: SocketReaders, three: list[Reader]) -> None:
    first, _, last = three
    first.then = lambda: readers.removeReader(last)
    last.then = lambda: readers.removeReader(first)
    first.theirs.send(b"a")
    last.theirs.send(b"c")
    readers.doRead()
    assert sorted([first.heard, last.heard]) in ([[], [b"a"]], [[], [b"c"]])


def it_closes(reader: Reader) -> None:
    reader.theirs.close()


def it_resets(reader: Reader) -> None:
    reader.ours.send(b"unread by the other side")
    reader.theirs.close()


def it_meets_a_bug(reader: Reader) -> None:
    def fail() -> None:
        raise RuntimeError("a bug")

    reader.then = fail
    reader.theirs.send(b"a")


@pytest.mark.parametrize(
    ("end", "why"), [(it_closes, ConnectionDone), (it_resets, ConnectionLost), (it_meets_a_bug, RuntimeError)]
)
def test_an_end_ends_that_connection_alone(
    reactor: Descriptors,
    readers: SocketReaders,
    three: list[Reader],
    end: Callable[[Reader], None],
    why: type[Exception],
) -> None:
    end(three[0])
    three[2].theirs.send(b"c")
    readers.doRead()
    assert three[0].lost == [why]
    assert reactor.unwritten == [three[0]]
    assert (three[2].heard, three[2].lost) == ([b"c"], [])


def test_a_half_closed_one_stays_and_is_read_no_more(
    reactor: Descriptors, readers: SocketReaders, three: list[Reader]
) -> None:
    three[1].theirs.send(b"b")
    three[1].theirs.shutdown(socket.SHUT_WR)
    for _ in range(3):
        readers.doRead()
    assert three[1].half_lost == [ConnectionDone]
    assert (three[1].lost, reactor.unwritten) == ([], [])
    assert three[1].heard == [b"b"]


def test_one_that_has_nothing_after_all_stays(readers: SocketReaders, three: list[Reader]) -> None:
    first, _, last = three

    def empty_the_other(other: Reader) -> None:
        with suppress(BlockingIOError):
            other.ours.recv(1)

    first.then, last.then = partial(empty_the_other, last), partial(empty_the_other, first)
    first.theirs.send(b"a")
    last.theirs.send(b"c")
    readers.doRead()
    assert sorted([first.heard, last.heard]) in ([[], [b"a"]], [[], [b"c"]])
    assert [reader.lost for reader in three] == [[], [], []]


def test_the_reactors_end_ends_all(reactor: Descriptors, readers: SocketReaders, three: list[Reader]) -> None:
    readers.connectionLost(Failure(ConnectionLost()))
    assert [reader.lost for reader in three] == [[ConnectionLost]] * 3
    assert reactor.readers == []


def test_what_is_due_soon_comes_once_behind_all_that_has_come(readers: SocketReaders, three: list[Reader]) -> None:
    seen: list[str] = []
    for reader in (three[0], three[2]):
        reader.then = lambda: (seen.append("read"), readers.soon(lambda: seen.append("then")))
        reader.theirs.send(b"x")
    readers.doRead()
    assert seen == ["read", "read", "then", "then"]


def test_what_is_due_soon_at_another_time_is_the_reactors(reactor: Descriptors, readers: SocketReaders) -> None:
    readers.soon(print)
    assert reactor.delayed == [(0, print)]


def test_whatever_else_a_transport_asks_goes_to_the_reactor(readers: SocketReaders) -> None:
    assert readers.seconds() == 7.0
    with pytest.raises(AttributeError):
        readers.nonsense  # noqa: B018


def test_the_reactor_itself_can_watch_it(readers: SocketReaders, three: list[Reader]) -> None:
    three[0].theirs.send(b"a")
    global_reactor.addReader(readers)
    try:
        global_reactor.doIteration(5)
    finally:
        global_reactor.removeReader(readers)
    assert three[0].heard == [b"a"]


def test_a_watched_descriptor_is_served_among_the_sockets(reactor: Descriptors, readers: SocketReaders) -> None:
    ours, theirs = os.pipe()
    seen: list[bytes] = []
    readers.watch(ours, lambda: seen.append(os.read(ours, 10)))
    assert reactor.readers == [readers]
    os.write(theirs, b"a")
    readers.doRead()
    assert seen == [b"a"]
    readers.unwatch(ours)
    assert reactor.readers == []
    os.close(ours)
    os.close(theirs)


def test_calls_of_another_thread_come_in_order_and_one_that_fails_stops_no_other(readers: SocketReaders) -> None:
    waker = Waker(readers)
    seen: list[object] = []

    def ask() -> None:
        for call in (partial(seen.append, 1), lambda: seen[7], lambda: seen.append(threading.get_ident())):
            waker.wake(call)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert seen == []
    readers.doRead()
    assert seen == [1, threading.get_ident()]
    waker.close()


def test_a_thread_that_wakes_too_late_writes_to_no_descriptor_of_others(readers: SocketReaders) -> None:
    waker = Waker(readers)
    number = waker._fd
    waker.close()
    reused = os.eventfd(0, os.EFD_NONBLOCK)  # the lowest free number: the one just closed
    try:
        waker.wake(lambda: None)
        assert reused == number
        with pytest.raises(BlockingIOError):
            os.eventfd_read(reused)
    finally:
        os.close(reused)
