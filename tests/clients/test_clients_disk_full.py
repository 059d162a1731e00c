"""Too little room is left on the disks: what adds data is refused by itself, everything else goes on, in order."""

from __future__ import annotations

import pytest

from leto.errors import DiskFull
from tests.clients.conversation import Client, Node

WHY = "the leader's disk has 1 MB left"
MISCONF = f"-MISCONF {WHY}\r\n".encode()


@pytest.fixture
def full(node: Node, client: Client) -> Client:
    assert client.say(b"SET a 1\r\nSET b 2\r\n") == b"+OK\r\n+OK\r\n"
    node.replica.growth_refusal = WHY
    node.replica.calls.clear()
    return client


def test_a_write_that_adds_data_is_refused_in_rediss_manner(node: Node, full: Client) -> None:
    assert full.say(b"SET a 2\r\n") == MISCONF
    assert full.say(b"APPEND a 2\r\n") == MISCONF
    assert full.say(b"GET a\r\n") == b"$1\r\n1\r\n"
    assert not [call for call in node.replica.calls if call[0] == "write"]


def test_of_a_pipeline_only_that_is_refused_and_the_order_is_kept(full: Client) -> None:
    assert (
        full.say(b"GET a\r\nSET a 2\r\nDEL a\r\nINCR b\r\nEXPIRE b 100\r\nGET a\r\nGET b\r\nMSET c 1 d 2\r\nPING\r\n")
        == b"$1\r\n1\r\n" + MISCONF + b":1\r\n" + MISCONF + b":1\r\n$-1\r\n$1\r\n2\r\n" + MISCONF + b"+PONG\r\n"
    )


def test_many_writes_at_once_are_each_refused(full: Client) -> None:
    assert full.say(b"SET a 2\r\n" * 50) == MISCONF * 50
    assert full.say(b"DEL a\r\n" * 3) == b":1\r\n:0\r\n:0\r\n"


def test_it_is_counted_as_rejected(full: Client) -> None:
    full.say(b"SET a 2\r\n")
    stats = full.say(b"INFO commandstats errorstats\r\n")
    assert b"errorstat_MISCONF:count=1" in stats
    assert b"cmdstat_set:calls=2," in stats and b",rejected_calls=1,failed_calls=0" in stats


def test_everything_goes_on_once_there_is_room(node: Node, full: Client) -> None:
    node.replica.growth_refusal = ""
    assert full.say(b"SET a 2\r\nGET a\r\n") == b"+OK\r\n$1\r\n2\r\n"


def test_a_transaction_that_adds_data_is_discarded_and_says_why(node: Node, full: Client) -> None:
    """The replica judges the whole."""
    original = node.replica.submit_write

    def submit_write(request: object) -> None:
        payload: bytes = request.payload  # type: ignore[attr-defined]
        if b"SET" in payload:
            request.refused(DiskFull(WHY))  # type: ignore[attr-defined]
        else:
            original(request)  # type: ignore[arg-type]

    node.replica.submit_write = submit_write  # type: ignore[assignment,method-assign]
    queued = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n"
    refused = b"-EXECABORT Transaction discarded because of: MISCONF " + WHY.encode() + b"\r\n"
    assert full.say(b"MULTI\r\nDEL a\r\nSET c 1\r\nEXEC\r\n") == queued + refused
    assert full.say(b"MULTI\r\nDEL a\r\nGET b\r\nEXEC\r\n") == queued + b"*2\r\n:1\r\n$1\r\n2\r\n"


def test_info_tells(full: Client) -> None:
    told = full.say(b"INFO persistence\r\n")
    assert b"disk_state:ok\r\n" in told and b"disk_free_bytes:" in told
    assert b"writes_refused:1\r\n" in told
