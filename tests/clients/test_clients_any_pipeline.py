"""Whatever a client sends, however it is cut and delayed: the replies are those of one request at a time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leto.clients import flow
from leto.resp.codec import pack
from tests.clients.conversation import Node

COMMANDS = [
    b"SET a 1", b"SET b x", b"GET a", b"GET b", b"INCR a", b"DEL a b", b"KEYS *", b"MGET a b", b"APPEND b y",
    b"EXISTS a", b"PING", b"ECHO z", b"foo", b"GET", b"MULTI", b"EXEC", b"DISCARD", b"WATCH a", b"UNWATCH",
    b"OBJECT ENCODING a", b"HELLO 3", b"HELLO 2", b"CLIENT REPLY SKIP", b"READONLY", b"MEMORY USAGE zz", b"WAIT 0 0",
    b"RESET", b"GETSET a 5", b"STRLEN b",
]  # fmt: skip
steps = st.one_of(st.sampled_from(["writes", "reads", "turn", "mute", "listen"]), st.integers(1, 60))


def one_at_a_time(commands: list[bytes], leads: bool) -> bytes:
    node = Node()
    node.replica.is_leader = leads
    client = node.client()
    return b"".join(client.say(command + b"\r\n") for command in commands)


@pytest.fixture(autouse=True, scope="module")
def little_is_much() -> Iterator[None]:
    """A client that takes nothing is full after a reply or two, and what it sends then is taken in by small pieces."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "UNREAD_BYTES", 8)
        patch.setattr(flow, "PIECE", 40)
        yield


@settings(max_examples=300, deadline=None)
@given(
    commands=st.lists(st.sampled_from(COMMANDS), max_size=25),
    steps=st.lists(steps, max_size=30),
    inline=st.booleans(),
    leads=st.booleans(),
)
def test_replies_do_not_depend_on_delivery(
    commands: list[bytes], steps: list[str | int], inline: bool, leads: bool
) -> None:
    node = Node()
    node.replica.hold_writes = node.replica.hold_reads = True
    node.replica.is_leader = leads
    client = node.client()
    data = b"".join(command + b"\r\n" if inline else pack(tuple(command.split())) for command in commands)
    heard = b""
    for step in steps:
        if step == "writes":
            node.replica.release_writes(1)
        elif step == "reads":
            node.replica.release_reads(1)
        elif step == "turn":
            heard += client.hear()
        elif step == "mute":
            client.session.output.pauseProducing()
        elif step == "listen":
            client.session.output.resumeProducing()
        else:
            client.send(data[:step])
            data = data[step:]
    client.send(data)
    client.session.output.resumeProducing()
    for _ in range(200):
        heard += client.hear()  # what waited behind something that takes time goes on in a turn of its own
        if not node.replica.held_writes and not node.replica.held_reads:
            break
        node.replica.release_writes(1)
        node.replica.release_reads(1)
    assert heard == one_at_a_time(commands, leads)
    assert not client.session.unanswered
    assert client.session.queue.pending_bytes == 0
    assert client.session.queue.writing == 0
