"""One request that is all that its client waits for is answered as a run would be, whatever else comes meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from leto.clients.lone import LoneRead, LoneWrite
from leto.clients.output import SocketOutput
from leto.clients.runs import ReadRun, WriteRun
from leto.errors import NoQuorum, OutcomeUnknown
from leto.vocabulary.replies import OK
from tests.clients.conversation import Node


@pytest.fixture
def node() -> Node:
    node = Node()
    node.replica.hold_writes = node.replica.hold_reads = True
    return node


def release(node: Node) -> None:
    node.replica.hold_writes = node.replica.hold_reads = False
    node.replica.release_writes()
    node.replica.release_reads()


@pytest.mark.parametrize(
    ("request_", "reply", "name"),
    [
        (b"SET a 1\r\n", b"+OK\r\n", "set"),
        (b"INCR n\r\n", b":1\r\n", "incr"),
        (b"GET a\r\n", b"$-1\r\n", "get"),
        (b"EXISTS a\r\n", b":0\r\n", "exists"),
    ],
)
def test_it_is_answered_and_counted(node: Node, request_: bytes, reply: bytes, name: str) -> None:
    client = node.client()
    client.send(request_)
    (alone,) = client.session.queue.pending
    assert type(alone) in (LoneRead, LoneWrite)
    before = client.session.state.counters.output_bytes
    release(node)
    assert client.hear() == reply
    queue, known = client.session.queue, client.session.state.table.spelled[name.encode()]
    assert (known.calls, queue.pending_bytes, queue.writing) == (1, 0, 0)
    assert not queue.pending and not queue.reading
    assert client.session.state.counters.output_bytes - before == len(reply)


@pytest.mark.parametrize(("request_", "reply"), [(b"SET a 1 GET\r\n", b"$-1\r\n"), (b"GET a\r\n", b"$-1\r\n")])
@pytest.mark.parametrize("behind", [b"HELLO 3\r\n", b"CLIENT REPLY OFF\r\n"])
def test_what_comes_behind_it_does_not_change_how_it_is_answered(
    node: Node, request_: bytes, reply: bytes, behind: bytes
) -> None:
    client = node.client()
    client.send(request_)
    client.send(behind)
    assert client.hear() == b""
    release(node)
    assert client.hear().startswith(reply)


def test_what_comes_behind_it_is_answered_behind_it(node: Node) -> None:
    client = node.client()
    for request in (b"GET a\r\n", b"SET a 1\r\n", b"GET a\r\n", b"PING\r\n"):
        client.send(request)
    for _ in range(3):
        node.replica.release_reads()
        node.replica.release_writes()
    assert client.hear() == b"$-1\r\n+OK\r\n$1\r\n1\r\n+PONG\r\n"


@pytest.mark.parametrize("behind", [b"", b"PING\r\n"])
def test_a_refused_one_is_told(node: Node, behind: bytes) -> None:
    reader, writer = node.client(), node.client()
    reader.send(b"GET a\r\n")
    writer.send(b"SET a 1\r\n")
    (read,), (write,) = reader.session.queue.pending, writer.session.queue.pending
    for client in (reader, writer):
        client.send(behind)
    read.refused(NoQuorum("no"))
    write.refused(OutcomeUnknown("maybe"))
    pong = b"+PONG\r\n" if behind else b""
    assert reader.hear() == b"-NOQUORUM no\r\n" + pong
    assert writer.hear() == b"-UNCERTAIN maybe\r\n" + pong
    assert (writer.session.queue.writing, len(reader.session.queue.reading)) == (0, 0)


def test_an_error_is_counted_as_one(node: Node) -> None:
    client = node.client()
    client.send(b"INCR a b\r\n")
    client.hear()
    node.replica.write(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nx\r\n", 1)
    client.send(b"INCR a\r\n")
    release(node)
    assert client.hear().startswith(b"-ERR value is not an integer")
    assert client.session.state.table.spelled[b"incr"].failed == 1


@pytest.mark.parametrize("request_", [b"GET a\r\n", b"SET a 1\r\n"])
def test_a_client_that_is_gone_is_not_answered(node: Node, request_: bytes) -> None:
    client = node.client()
    client.send(request_)
    (alone,) = client.session.queue.pending
    client.session.lost()
    release(node)
    assert not client.session.queue.pending
    assert type(alone._become_run()) in (ReadRun, WriteRun)


@pytest.mark.parametrize("request_", [b"GET a\r\n", b"SET a 1\r\n"])
def test_a_fault_while_it_is_answered_ends_its_connection_only(node: Node, request_: bytes) -> None:
    client, other = node.client(), node.client()
    client.send(request_)
    other.send(b"SET b 1\r\n")
    (alone,) = client.session.queue.pending
    if isinstance(alone, LoneWrite):
        alone.applied([object()], 0, 0.0)  # no reply can be made of it
    else:
        client.session.queue.query = lambda argv, clock_ms: object()  # type: ignore[assignment, return-value]
        alone.confirmed(0)
    assert client.session.closing
    release(node)
    assert other.hear() == b"+OK\r\n"


class Handle:
    """A socket that takes so much at a time."""

    def __init__(self) -> None:
        self.room: list[int | type[OSError]] = []
        self.sent = b""

    def send(self, data: bytes) -> int:
        room = self.room.pop(0) if self.room else len(data)
        if not isinstance(room, int):
            raise room
        self.sent += data[:room]
        return min(room, len(data))


class Transport:
    """Twisted's, as far as a SocketOutput asks."""

    def __init__(self) -> None:
        self.handle, self.written, self.producer = Handle(), b"", None

    def getHandle(self) -> Handle:
        return self.handle

    def write(self, data: bytes) -> None:
        self.written += data

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer
        producer.resumeProducing()

    def unregisterProducer(self) -> None:
        self.producer = None

    def loseConnection(self) -> None: ...

    def abortConnection(self) -> None: ...


def test_straight_to_the_socket_is_a_way_only_while_nothing_waits() -> None:
    transport = Transport()
    output = SocketOutput(transport, lambda: None)
    assert output.straight is not None and output.straight(b"a") == 1
    transport.handle.room = [1, BlockingIOError]
    output.write(b"bc")
    assert output.straight is None and (transport.handle.sent, transport.written) == (b"ab", b"c")
    output.resumeProducing()
    assert output.straight is not None


@pytest.mark.parametrize("end", [SocketOutput.close, SocketOutput.abort, SocketOutput.stopProducing])
def test_nothing_goes_straight_to_a_socket_that_is_given_up(end: Callable[[SocketOutput], None]) -> None:
    output = SocketOutput(Transport(), lambda: None)
    end(output)
    assert output.straight is None


@pytest.mark.parametrize("room", [[2], [2, BlockingIOError], [BlockingIOError, BlockingIOError], [0, 3]])
def test_what_the_socket_does_not_take_of_the_reply_follows_in_order(node: Node, room: list[Any]) -> None:
    client = node.client()
    transport = Transport()
    client.session.queue.output = SocketOutput(transport, client.session.queue.drained)
    client.send(b"SET a 1\r\n")
    (alone,) = client.session.queue.pending
    transport.handle.room = list(room)
    alone.applied([OK], 0, 0.0)
    assert transport.handle.sent + transport.written == b"+OK\r\n"
    assert client.session.state.counters.output_bytes == 5
