"""Clients that wait for something to happen: served, timed out or cancelled, once; and what they send meanwhile."""

from __future__ import annotations

import pytest

from leto.clients.flow import PIECE
from leto.clients.pause import LONGEST_SECONDS
from leto.clients.session import Session
from leto.clients.waiting import WaitingRun
from leto.commands import CONNECTION
from leto.resp.codec import Request
from leto.vocabulary.registry import Registry
from leto.vocabulary.replies import Error
from tests.clients.conversation import Node


class Waits(Node):
    """A node with a command TOYWAIT seconds, whose clients wait in `waiting`."""

    def __init__(self) -> None:
        commands = Registry(CONNECTION)
        self.waiting: list[WaitingRun] = []
        self.gone: list[WaitingRun] = []
        self.at_once: list[bytes] = []  # what the next to come are served before their command has returned

        @commands.add("TOYWAIT", 2, "noscript", group="connection", since="1.0.0", summary="Wait")
        def toywait(session: Session, argv: Request) -> WaitingRun:
            run = WaitingRun(session.queue, argv, float(argv[1]), gone=self.gone.append)
            if self.at_once:
                run.end(self.at_once.pop())
            else:
                self.waiting.append(run)
            return run

        super().__init__(commands=commands)


@pytest.fixture
def waits() -> Waits:
    return Waits()


def test_a_client_that_waits_is_answered_when_it_is_served(waits: Waits) -> None:
    client = waits.client()
    assert client.say(b"TOYWAIT 0\r\n") == b""
    waits.waiting[0].end([b"list", b"element"])
    assert client.hear() == b"*2\r\n$4\r\nlist\r\n$7\r\nelement\r\n"
    assert client.say(b"PING\r\n") == b"+PONG\r\n"


@pytest.mark.parametrize("before", [b"", b"PING\r\n", b"SET a 1\r\n"])
def test_one_that_is_served_at_once_does_not_wait(waits: Waits, before: bytes) -> None:
    waits.at_once.append(b"here")
    client = waits.client()
    client.send(before + b"TOYWAIT 5\r\nINCR b\r\n")
    assert client.hear().endswith(b"$4\r\nhere\r\n:1\r\n")
    assert client.session.queue.blocked == ""
    assert client.say(b"PING\r\n") == b"+PONG\r\n"
    assert not waits.clock.getDelayedCalls()


def test_what_is_sent_behind_it_waits_in_order(waits: Waits) -> None:
    client = waits.client()
    client.send(b"SET a 1\r\nTOYWAIT 0\r\nINCR a\r\nGET a\r\n")
    client.send(b"INCR a\r\n")
    assert client.hear() == b"+OK\r\n"
    waits.waiting[0].end(7)
    assert client.hear() == b":7\r\n:2\r\n$1\r\n2\r\n:3\r\n"


def test_it_times_out_once_its_seconds_are_over(waits: Waits) -> None:
    client = waits.client()
    client.send(b"TOYWAIT 2.5\r\nPING\r\n")
    waits.clock.advance(2.4)
    assert client.hear() == b""
    waits.clock.advance(0.2)
    assert client.hear() == b"$-1\r\n+PONG\r\n"
    waits.waiting[0].end(b"too late")
    assert client.hear() == b""


def test_a_timeout_longer_than_a_poll_can_take(waits: Waits) -> None:
    client = waits.client()
    client.send(b"TOYWAIT %d\r\n" % (int(LONGEST_SECONDS) + 10))
    waits.clock.advance(LONGEST_SECONDS)
    waits.clock.advance(9)
    assert client.hear() == b""
    waits.clock.advance(2)
    assert client.hear() == b"$-1\r\n"


def test_its_time_begins_once_the_writes_before_it_are_decided(waits: Waits) -> None:
    waits.replica.hold_writes = True
    client = waits.client()
    client.send(b"SET a 1\r\nTOYWAIT 1\r\n")
    waits.clock.advance(1.5)
    waits.replica.release_writes()
    assert client.hear() == b"+OK\r\n"
    waits.clock.advance(1.0)
    assert client.hear() == b"$-1\r\n"


def test_it_may_be_cancelled_with_an_error_that_is_counted(waits: Waits) -> None:
    client = waits.client()
    client.send(b"TOYWAIT 0\r\n")
    waits.waiting[0].end(Error(b"UNBLOCKED client unblocked via CLIENT UNBLOCK"))
    assert client.hear() == b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"
    assert waits.state.counters.errors == {b"UNBLOCKED": 1}


def test_a_client_that_is_gone_is_told_of_once_and_leaves_no_timer(waits: Waits) -> None:
    client = waits.client()
    client.send(b"TOYWAIT 5\r\n")
    client.lose()
    assert waits.gone == waits.waiting
    assert not waits.clock.getDelayedCalls()
    waits.waiting[0].end(b"nobody hears it")
    assert len(waits.gone) == 1


def test_the_end_of_its_input_is_its_end(waits: Waits) -> None:
    client = waits.client()
    client.send(b"TOYWAIT 0\r\n")
    client.protocol.readConnectionLost()
    assert client.is_closed


def test_it_is_read_from_but_no_further_than_a_piece(waits: Waits) -> None:
    client = waits.client()
    client.send(b"TOYWAIT 0\r\n")
    client.hear()
    assert client.wire.producerState == "producing"
    command = b"PING\r\n"
    for _ in range(PIECE // 1024 + 1):
        client.send(command * (1024 // len(command)))
    assert client.wire.producerState == "paused"
    held = client.session.queue.held
    assert held < PIECE + 2048
    waits.waiting[0].end(1)
    heard = client.hear()
    while waits.clock.getDelayedCalls():
        heard += client.hear()
    assert heard == b":1\r\n" + b"+PONG\r\n" * (held // len(command))
    assert client.wire.producerState == "producing"


def test_it_shows_as_blocked(waits: Waits) -> None:
    client, other = waits.client(), waits.client()
    client.send(b"TOYWAIT 0\r\n")
    assert b"blocked_clients:1\r\n" in other.say(b"INFO clients\r\n")
    assert b" flags=b " in other.say(b"CLIENT LIST ID %d\r\n" % client.session.identity.id)
    waits.waiting[0].end(None)
    assert b"blocked_clients:0\r\n" in other.say(b"INFO clients\r\n")


def test_a_client_that_wants_no_replies_gets_none(waits: Waits) -> None:
    client = waits.client()
    client.say(b"CLIENT REPLY OFF\r\n")
    client.send(b"TOYWAIT 0\r\n")
    waits.waiting[0].end(b"x")
    assert client.hear() == b""
    assert client.say(b"CLIENT REPLY ON\r\n") == b"+OK\r\n"
