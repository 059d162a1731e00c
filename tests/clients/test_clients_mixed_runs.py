"""Reads and writes that went to the log together, and the leadership that was lost before they did."""

from __future__ import annotations

import pytest

from leto.errors import NotLeader
from leto.interfaces.replica import WriteRequest
from tests.clients.conversation import Node


def test_a_mixed_chunk_on_a_node_that_just_lost_leadership_serves_its_reads() -> None:
    node = Node()
    client = node.client()
    client.say(b"SET a 1\r\n")
    node.replica.calls.clear()
    original = node.replica.submit_write

    def submit_write(request: object) -> None:  # the core knows already, the attribute does not yet
        node.replica.is_leader = False
        original(request)

    node.replica.submit_write = submit_write
    assert client.say(b"GET a\r\nSET a 2\r\nGET a\r\n") == b"$1\r\n1\r\n-not leader\r\n$1\r\n1\r\n"
    assert node.replica.calls == [("write", 3), ("read",)]


def loses_office_at(node: Node, number: int) -> None:
    """Of what is submitted, that request is refused: the leader lost office between the look and the proposal. It
    leads again at the next one."""
    original = node.replica.submit_write
    submitted = []

    def submit_write(request: WriteRequest) -> None:
        submitted.append(request)
        if len(submitted) == number:
            request.refused(NotLeader("id2"))
        else:
            original(request)

    node.replica.submit_write = submit_write  # type: ignore[method-assign]


def test_a_write_waits_for_the_reads_of_a_mixed_chunk_that_was_refused() -> None:
    """A read that was sent before a write never sees it, whatever became of the leadership between them."""
    node = Node()
    client = node.client()
    client.say(b"SET a 1\r\n")
    loses_office_at(node, 1)
    node.replica.hold_reads = True
    client.send(b"GET a\r\nSET b 1\r\n")
    client.send(b"SET a 2\r\n")
    assert node.replica.machine.query([b"GET", b"a"], 0) == b"1"
    node.replica.hold_reads = False
    node.replica.release_reads()
    assert client.hear() == b"$1\r\n1\r\n-not leader\r\n+OK\r\n"
    assert client.say(b"GET a\r\n") == b"$1\r\n2\r\n"


def test_the_reads_of_a_refused_mixed_chunk_are_refused_too_where_a_later_write_is_under_way() -> None:
    """They might see it: it is with another leader already, say."""
    node = Node()
    client = node.client()
    client.say(b"SET a 1\r\n")
    node.replica.hold_writes = True
    client.send(b"GET a\r\nSET b 1\r\n")
    client.send(b"SET a 2\r\n")
    mixed = node.replica._writes.popleft()
    node.replica.release_writes()
    node.replica.calls.clear()
    mixed.refused(NotLeader("id2"))
    assert client.hear() == b"-not leader\r\n-not leader\r\n+OK\r\n"
    assert node.replica.calls == []


@pytest.mark.parametrize("lost", ["before the refusal", "before the read"])
def test_a_mixed_chunk_whose_client_is_gone_is_refused_quietly(lost: str) -> None:
    node = Node()
    client, other = node.client(), node.client()
    node.replica.hold_writes = node.replica.hold_reads = True
    client.send(b"GET a\r\nSET b 1\r\n")
    mixed = node.replica._writes.popleft()
    if lost == "before the refusal":
        client.lose()
    mixed.refused(NotLeader("id2"))
    if lost == "before the read":
        client.lose()
    node.replica.hold_writes = node.replica.hold_reads = False
    node.replica.release_reads()
    assert client.hear() == b"" and not client.session.queue.reading
    assert other.say(b"GET b\r\n") == b"$-1\r\n"
