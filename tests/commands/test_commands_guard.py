"""Whoever guesses passwords is slowed by its address, counted and named in the log; nobody else is."""

from __future__ import annotations

from typing import Any

import hiredis
import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.logger import formatEvent, globalLogPublisher

from leto.clients.guard import AT_ONCE, FIRST_SECONDS, FORGET_SECONDS, FREE, LONGEST_SECONDS
from leto.resp.strict import ANONYMOUS_BULK_BYTES
from tests.clients.conversation import LOOPBACK, Node

RIGHT = b"AUTH sesame\r\n"
WRONG = b"AUTH wrong\r\n"
DENIED = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
ELSEWHERE = IPv4Address("TCP", "192.0.2.7", 1)


@pytest.fixture
def node() -> Node:
    return Node(password="sesame")


def guess(node: Node, times: int = FREE, peer: Any = LOOPBACK) -> None:
    """So many wrong passwords, each on a connection of its own."""
    for _ in range(times):
        client = node.client(peer)
        assert client.say(WRONG) == DENIED
        client.lose()


def test_a_few_mistakes_cost_nothing(node: Node) -> None:
    guess(node, FREE)
    assert node.clock.getDelayedCalls() == []


def test_then_an_attempt_waits_before_it_is_looked_at_right_or_wrong(node: Node) -> None:
    guess(node)
    for attempt, answer in ((RIGHT, b"+OK\r\n"), (WRONG, DENIED)):
        client = node.client()
        assert client.say(attempt) == b""
        node.clock.advance(FIRST_SECONDS / 2)
        assert client.hear() == b""
        node.clock.advance(FIRST_SECONDS / 2)
        assert client.hear() == answer


def test_the_wait_grows_to_a_bound(node: Node) -> None:
    guess(node)
    waits = []
    for _ in range(8):
        client = node.client()
        assert client.say(WRONG) == b""
        (call,) = node.clock.getDelayedCalls()
        waits.append(call.getTime() - node.clock.seconds())
        node.clock.advance(waits[-1])
        assert client.hear() == DENIED
        client.lose()
    assert waits == sorted(waits)
    assert waits[0] == pytest.approx(FIRST_SECONDS)
    assert waits[-1] == pytest.approx(LONGEST_SECONDS)


def test_many_connections_at_once_are_no_way_around_it(node: Node) -> None:
    guess(node)
    clients = [node.client() for _ in range(3 * AT_ONCE)]
    for client in clients:
        assert client.say(WRONG) == b""
    node.clock.advance(FIRST_SECONDS)
    assert sum(client.hear() == DENIED for client in clients) == AT_ONCE


def test_other_addresses_and_those_that_are_in_do_not_wait(node: Node) -> None:
    inside = node.client()
    assert inside.say(RIGHT) == b"+OK\r\n"
    guess(node)
    assert node.client(ELSEWHERE).say(RIGHT) == b"+OK\r\n"
    assert inside.say(b"PING\r\n" + RIGHT + WRONG) == b"+PONG\r\n+OK\r\n" + DENIED


def test_one_network_of_ipv6_is_one_address(node: Node) -> None:
    for number in range(FREE):
        guess(node, 1, IPv6Address("TCP", f"2001:db8::{number}", 1))
    assert node.client(IPv6Address("TCP", "2001:db8::ffff", 1)).say(RIGHT) == b""
    assert node.client(IPv6Address("TCP", "2001:db8:0:1::1", 1)).say(RIGHT) == b"+OK\r\n"


def test_it_is_forgotten_after_a_while(node: Node) -> None:
    guess(node)
    node.clock.advance(FORGET_SECONDS + 1)
    assert node.client().say(RIGHT) == b"+OK\r\n"


def test_hello_waits_too_and_answers_in_the_protocol_it_asked_for(node: Node) -> None:
    guess(node)
    client = node.client()
    assert client.say(b"HELLO 3 AUTH default sesame SETNAME me\r\nCLIENT GETNAME\r\n") == b""
    node.clock.advance(FIRST_SECONDS)
    reader = hiredis.Reader()
    reader.feed(client.hear())
    assert reader.gets()[b"proto"] == 3
    assert reader.gets() == b"me"


def test_what_was_sent_behind_it_is_taken_under_the_limits_that_it_brings(node: Node) -> None:
    guess(node)
    client = node.client()
    large = b"x" * (2 * ANONYMOUS_BULK_BYTES)
    request = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$%d\r\n%b\r\n" % (len(large), large)
    assert client.say(RIGHT + request[:20000]) == b""
    assert client.say(request[20000:] + b"STRLEN a\r\n") == b""
    node.clock.advance(FIRST_SECONDS)
    assert client.hear() == b"+OK\r\n+OK\r\n:%d\r\n" % len(large)


def test_what_was_sent_behind_a_wrong_one_is_refused_as_ever(node: Node) -> None:
    guess(node)
    client = node.client()
    assert client.say(WRONG + b"GET a\r\n") == b""
    node.clock.advance(FIRST_SECONDS)
    assert client.hear() == DENIED + b"-NOAUTH Authentication required.\r\n"


def test_a_connection_that_goes_while_it_waits_leaves_nothing_behind(node: Node) -> None:
    guess(node)
    for _ in range(100):
        client = node.client()
        assert client.say(WRONG) == b""
        client.lose()
    assert node.clock.getDelayedCalls() == []
    assert node.client().say(WRONG) == b""
    node.factory.close()
    assert node.clock.getDelayedCalls() == []


def test_failures_are_counted_and_one_line_names_the_address() -> None:
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    try:
        node = Node(password="sesame")
        guess(node, 4, ELSEWHERE)
        node.clock.advance(11)
        guess(node, 1, ELSEWHERE)
    finally:
        globalLogPublisher.removeObserver(events.append)
    client = node.client()
    assert client.say(RIGHT) == b"+OK\r\n"
    assert b"acl_access_denied_auth:5\r\n" in client.say(b"INFO stats\r\n")
    assert node.factory.counters["authentication_failures"] == 5
    assert [formatEvent(event) for event in events] == [
        "wrong password from 192.0.2.7 (1 lately)",
        "wrong password from 192.0.2.7 (5 lately) (and 3 times more since the last such line)",
    ]


def test_a_password_that_could_never_be_used_is_refused(node: Node) -> None:
    client = node.client()
    client.say(RIGHT)
    words = b"CONFIG SET requirepass " + b"x" * 16385 + b"\r\n"
    assert b"a password is 16384 bytes at most" in client.say(words)
    longest = b"y" * 16384
    assert client.say(b"CONFIG SET requirepass " + longest + b"\r\n") == b"+OK\r\n"
    assert node.client().say(b"*2\r\n$4\r\nAUTH\r\n$16384\r\n" + longest + b"\r\n") == b"+OK\r\n"


def test_what_is_remembered_of_addresses_is_bounded(node: Node) -> None:
    for number in range(5000):
        node.state.guard.failed(f"10.0.{number >> 8}.{number & 255}")
    assert len(node.state.guard._places) == 4096
