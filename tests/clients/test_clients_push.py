"""Messages that a client did not ask for: where they stand among its replies, and what they count towards."""

from __future__ import annotations

from typing import Any

import pytest

from leto.config import OutputLimit, OutputLimits
from leto.resp.codec import encode
from leto.vocabulary.replies import Push
from tests.clients.conversation import Client, Node

MESSAGE = Push([b"message", b"news", b"hello"])
AS_PUSH = b">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n"
AS_ARRAY = b"*" + AS_PUSH[1:]


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
def client(node: Node) -> Client:
    client = node.client()
    client.say(b"HELLO 3\r\n")
    return client


def test_it_is_sent_at_once(client: Client) -> None:
    client.session.push(MESSAGE)
    assert client.hear() == AS_PUSH


def test_a_client_of_resp2_takes_it_only_while_subscribed(node: Node) -> None:
    client = node.client()
    with pytest.raises(ValueError, match="only while it is subscribed"):
        client.session.push(MESSAGE)
    client.session.queue.is_subscribed = True
    client.session.push(MESSAGE)
    assert client.hear() == AS_ARRAY


def test_it_does_not_wait_for_a_reply_that_is_not_there_yet(node: Node, client: Client) -> None:
    node.replica.hold_writes = True
    client.send(b"PING\r\nSET a 1\r\n")
    client.session.push(MESSAGE)
    assert client.hear() == b"+PONG\r\n" + AS_PUSH
    node.replica.release_writes()
    assert client.hear() == b"+OK\r\n"


def test_it_never_cuts_a_reply_in_two(node: Node, client: Client) -> None:
    values = [bytes([65 + number]) * 300_000 for number in range(12)]
    for number, value in enumerate(values):
        node.client().call("SET", f"k{number}", value)
    client.session.output.pauseProducing()
    client.send(b"MGET " + b" ".join(b"k%d" % number for number in range(12)) + b"\r\nPING\r\n")
    node.clock.advance(0)
    assert client.session.queue.unanswered, "the reply is under way"
    client.session.push(MESSAGE)
    client.session.push(MESSAGE)
    heard = b""
    for _ in range(40):
        client.session.output.resumeProducing()
        heard += client.hear()
    assert heard == b"*12\r\n" + b"".join(b"$300000\r\n%b\r\n" % v for v in values) + 2 * AS_PUSH + b"+PONG\r\n"
    assert client.session.queue.pending_bytes == client.session.queue.pushed_bytes == 0


def test_it_is_sent_even_where_replies_are_not_wanted(client: Client) -> None:
    client.say(b"CLIENT REPLY OFF\r\n")
    client.session.push(MESSAGE)
    assert client.hear() == AS_PUSH


def test_a_client_that_is_closing_gets_none(client: Client) -> None:
    client.session.kill()
    client.session.push(MESSAGE)
    assert client.hear() == b""


@pytest.mark.parametrize(("is_subscribed", "survives"), [(True, False), (False, True)])
def test_a_mute_subscriber_is_closed_at_the_limit_of_its_class(is_subscribed: bool, survives: bool) -> None:
    limits = OutputLimits(pubsub=OutputLimit(400_000, 0, 0))
    node = Node(client_output_limits=limits)
    client = node.client()
    client.say(b"HELLO 3\r\n")
    client.session.queue.is_subscribed = is_subscribed
    client.session.output.pauseProducing()
    for _ in range(5):
        client.session.push(Push([b"message", b"c", b"x" * 100_000]))
    node.clock.advance(0)
    assert client.is_closed is not survives
    assert node.state.counters.output_overruns == (not survives)


BIG = Push([b"message", b"c", b"x" * 100_000])


class Mute:
    """A client that has taken a part of a reply, and takes no more of it."""

    def __init__(self, **config: Any) -> None:
        self.node = Node(**config)
        self.client = self.node.client()
        self.client.say(b"HELLO 3\r\n")
        for number in range(12):
            self.node.client().call("SET", f"k{number}", b"x" * 300_000)
        self.client.session.queue.is_subscribed = True
        self.client.session.output.pauseProducing()
        self.client.send(b"MGET " + b" ".join(b"k%d" % number for number in range(12)) + b"\r\n")
        self.node.clock.advance(0)

    def push(self, times: int) -> None:
        for _ in range(times):
            self.client.session.push(BIG)
        self.node.clock.advance(0)


def test_what_waits_for_the_end_of_a_reply_counts_toward_the_hard_limit() -> None:
    mute = Mute(client_output_limits=OutputLimits(pubsub=OutputLimit(2_000_000, 0, 0)))
    mute.push(15)
    assert not mute.client.is_closed
    mute.push(5)
    assert mute.client.is_closed
    assert mute.node.state.counters.output_overruns == 1
    assert mute.client.session.kept_bytes < 10_000, "nothing of it is kept"


def test_what_waits_for_the_end_of_a_reply_counts_toward_the_soft_limit() -> None:
    mute = Mute(client_output_limits=OutputLimits(pubsub=OutputLimit(0, 1_000_000, 10)))
    mute.push(15)
    mute.node.clock.advance(9)
    assert not mute.client.is_closed
    mute.node.clock.advance(2)
    assert mute.client.is_closed


def test_what_waits_for_the_end_of_a_reply_counts_toward_the_memory_of_all_clients() -> None:
    mute = Mute(maxmemory_clients=2_000_000)
    mute.push(15)
    assert not mute.client.is_closed
    session = mute.client.session
    kept = session.output.unsent + 15 * len(encode(BIG, True))
    assert b" omem=%d " % kept in mute.node.client().say(b"CLIENT LIST ID %d\r\n" % session.identity.id)
    mute.push(10)
    assert mute.client.is_closed
    assert mute.node.state.memory.evicted == 1
