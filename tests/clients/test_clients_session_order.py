"""The order of one client's replies, and what of its requests may run when."""

from __future__ import annotations

import pytest

from leto.clients import runs
from leto.clients.flow import UNREAD_BYTES
from leto.config import OutputLimit, OutputLimits
from leto.errors import NoQuorum, OutcomeUnknown, Overloaded, Stopping
from leto.interfaces.replica import WriteRequest
from tests.clients.conversation import Node, error


def test_consecutive_writes_are_one_request_to_the_replica() -> None:
    node = Node()
    client = node.client()
    client.send(b"SET a 1\r\nSET b 2\r\nINCR a\r\n")
    assert node.replica.calls == [("write", 3)]
    assert client.hear() == b"+OK\r\n+OK\r\n:2\r\n"


def test_consecutive_reads_share_one_read() -> None:
    node = Node()
    client = node.client()
    client.send(b"GET a\r\nEXISTS a\r\nMGET a b\r\n")
    assert node.replica.calls == [("read",)]
    assert client.hear() == b"$-1\r\n:0\r\n*2\r\n$-1\r\n$-1\r\n"


def test_one_write_to_the_transport_a_turn() -> None:
    node = Node()
    client = node.client()
    client.send(b"SET a 1\r\nGET a\r\nPING\r\nfoo\r\nSET b 2\r\n")
    node.clock.advance(0)
    assert client.wire.writes == 1


def test_replies_that_come_in_one_turn_leave_in_one_write() -> None:
    node = Node()
    node.replica.hold_writes = True
    client = node.client()
    for number in range(5):
        client.send(b"SET a %d\r\n" % number)
    node.replica.release_writes()
    assert client.hear() == b"+OK\r\n" * 5
    assert client.wire.writes <= 2


def test_a_read_after_an_unfinished_write_waits_for_it() -> None:
    node = Node()
    node.replica.hold_writes = True
    client = node.client()
    client.send(b"SET a 1\r\nGET a\r\n")
    assert node.replica.calls == [("write", 1)]
    assert client.hear() == b""
    node.replica.release_writes()
    assert node.replica.calls == [("write", 1), ("read",)]
    assert client.hear() == b"+OK\r\n$1\r\n1\r\n"


def test_a_read_in_a_later_chunk_waits_too() -> None:
    node = Node()
    node.replica.hold_writes = True
    client = node.client()
    client.send(b"SET a 1\r\n")
    client.send(b"GET a\r\n")
    assert node.replica.calls == [("write", 1)]
    node.replica.release_writes()
    assert client.hear() == b"+OK\r\n$1\r\n1\r\n"


def test_a_write_waits_until_the_reads_before_it_are_evaluated() -> None:
    node = Node()
    node.replica.hold_reads = True
    client = node.client()
    client.send(b"GET a\r\n")
    client.send(b"SET a 1\r\n")
    assert node.replica.calls == [("read",)]
    node.replica.release_reads()
    assert node.replica.calls == [("read",), ("write", 1)]
    assert client.hear() == b"$-1\r\n+OK\r\n"


def test_writes_do_not_wait_for_each_other() -> None:
    node = Node()
    node.replica.hold_writes = True
    client = node.client()
    client.send(b"SET a 1\r\n")
    client.send(b"SET a 2\r\n")
    assert node.replica.held_writes == 2
    node.replica.release_writes()
    assert client.hear() == b"+OK\r\n+OK\r\n"
    assert client.call("GET", "a") == b"2"


def test_on_the_leader_a_read_before_a_write_goes_to_the_log_with_it() -> None:
    node = Node()
    client = node.client()
    client.send(b"SET a 1\r\nGET a\r\nSET a 2\r\nGET a\r\n")
    assert node.replica.calls == [("write", 4)]
    assert client.hear() == b"+OK\r\n$1\r\n1\r\n+OK\r\n$1\r\n2\r\n"


def test_a_write_tells_whether_its_client_asks_again_at_once() -> None:
    node = Node()
    told: list[bool] = []
    original = node.replica.submit_write

    def submit_write(request: WriteRequest) -> None:
        told.append(request.returns)
        original(request)

    node.replica.submit_write = submit_write  # type: ignore[method-assign]
    client, other = node.client(), node.client()
    node.replica.prompt_until = 1.0
    client.say(b"SET a 1\r\n")  # its first
    client.say(b"GET a\r\n")
    client.say(b"SET a 2\r\n")  # right behind the read's reply
    other.say(b"SET b 1\r\n")  # its first
    node.clock.advance(2)
    node.replica.prompt_until = 3.0
    client.say(b"SET a 3\r\n")  # it took its time
    node.replica.hold_writes = True
    client.send(b"SET a 4\r\n")
    client.send(b"SET a 5\r\n")  # it does not wait for the reply
    assert told == [False, True, False, False, True, False]


def test_an_expensive_read_never_goes_to_the_log() -> None:
    node = Node()
    client = node.client()
    client.send(b"KEYS *\r\nSET a 1\r\nKEYS *\r\n")
    assert node.replica.calls == [("read",), ("write", 1), ("read",)]
    assert client.hear() == b"*0\r\n+OK\r\n*1\r\n$1\r\na\r\n"


def test_on_a_follower_reads_are_served_and_writes_refused_word_for_word() -> None:
    node = Node()
    node.replica.is_leader = False
    client = node.client()
    assert client.say(b"GET a\r\nSET a 1\r\nGET a\r\nDEL a b\r\n") == b"$-1\r\n-not leader\r\n$-1\r\n-not leader\r\n"


def test_connection_commands_keep_their_place() -> None:
    node = Node()
    node.replica.hold_writes = True
    client = node.client()
    client.send(b"PING\r\nSET a 1\r\nPING x\r\nECHO y\r\n")
    assert client.hear() == b"+PONG\r\n"
    node.replica.release_writes()
    assert client.hear() == b"+OK\r\n$1\r\nx\r\n$1\r\ny\r\n"


def test_a_reply_is_encoded_for_the_protocol_of_its_request() -> None:
    node = Node()
    node.replica.hold_reads = True
    client = node.client()
    client.send(b"GET a\r\nHELLO 3\r\nGET a\r\n")
    node.replica.release_reads()
    heard = client.hear()
    assert heard.startswith(b"$-1\r\n%7\r\n")
    assert heard.endswith(b"_\r\n")


@pytest.mark.parametrize(
    ("refusal", "reply"),
    [
        (Overloaded("too many writes wait"), "BUSY too many writes wait"),
        (Stopping("the node stops"), "SHUTDOWN the node stops"),
        (OutcomeUnknown("it may or may not apply"), "UNCERTAIN it may or may not apply"),
    ],
)
def test_what_became_of_a_refused_write(refusal: Exception, reply: str) -> None:
    node = Node()
    node.replica.refusal = refusal
    client = node.client()
    first, second = client.pipeline(("SET", "a", 1), ("INCR", "b"))
    assert error(first) == error(second) == reply


def test_a_read_without_a_quorum_never_lies() -> None:
    node = Node()
    node.replica.refusal = NoQuorum("no quorum confirmed the read within 2 s")
    client = node.client()
    assert error(client.call("GET", "a")) == "NOQUORUM no quorum confirmed the read within 2 s"


def test_leadership_lost_with_writes_in_flight() -> None:
    node = Node()
    node.replica.hold_writes = True
    client = node.client()
    client.send(b"SET a 1\r\nSET b 2\r\n")
    client.send(b"GET a\r\n")
    node.replica.lose_leadership("other", "10.0.0.2:5379")
    heard = client.hear().split(b"\r\n")
    assert [line.split(b" ")[0] for line in heard] == [b"-UNCERTAIN", b"-UNCERTAIN", b"$-1", b""]


def test_moved_names_the_slot_and_the_leader() -> None:
    node = Node(on_follower="moved")
    node.replica.is_leader = False
    node.replica.leader_address = "10.0.0.2:6379"
    client = node.client()
    assert error(client.call("SET", "foo", 1)) == "MOVED 12182 10.0.0.2:6379"
    assert error(client.call("SET", "{foo}bar", 1)) == "MOVED 12182 10.0.0.2:6379"
    assert error(client.call("FLUSHALL")) == "MOVED 0 10.0.0.2:6379"
    node.replica.leader_address = None
    assert error(client.call("SET", "foo", 1)) == "not leader"


def test_arity_is_checked_before_leadership() -> None:
    node = Node()
    node.replica.is_leader = False
    client = node.client()
    assert error(client.call("SET", "a")) == "ERR wrong number of arguments for 'set' command"


def test_readonly_reads_are_local_until_readwrite() -> None:
    node = Node()
    node.replica.refusal = NoQuorum("none")
    client = node.client()
    assert client.say(b"READONLY\r\nGET a\r\n") == b"+OK\r\n$-1\r\n"
    assert ("read_local",) in node.replica.calls
    assert client.say(b"READWRITE\r\nGET a\r\n") == b"+OK\r\n-NOQUORUM none\r\n"


def test_the_original_letos_replies() -> None:
    node = Node(compat="leto")
    client = node.client()
    assert client.say(b"GET a\r\nDEL a b\r\nPING x y z\r\n") == b"$0\r\n\r\n+OK\r\n+PONG\r\n"
    assert client.say(b"SET a 1\r\nGET a\r\nGET b\r\nDEL a\r\n") == b"+OK\r\n$1\r\n1\r\n$0\r\n\r\n+OK\r\n"
    assert client.say(b"MULTI\r\nGET b\r\nDEL b\r\nEXEC\r\n").endswith(b"*2\r\n$0\r\n\r\n+OK\r\n")


def test_a_lost_connection_starts_nothing_more() -> None:
    node = Node()
    node.replica.hold_reads = True
    client = node.client()
    client.send(b"GET a\r\n")
    client.send(b"SET a 1\r\n")
    client.lose()
    node.replica.release_reads()
    assert node.replica.calls == [("read",)]
    assert node.factory.connected == 0


def test_a_client_that_closes_its_half_hears_the_answer_first() -> None:
    node = Node()
    node.replica.hold_writes = True
    client = node.client()
    client.send(b"SET a 1\r\n")
    client.protocol.readConnectionLost()
    assert not client.is_closed
    node.replica.release_writes()
    assert client.hear() == b"+OK\r\n"
    assert client.is_closed


def test_quit_answers_what_came_before_and_nothing_after() -> None:
    node = Node()
    node.replica.hold_writes = True
    client = node.client()
    client.send(b"SET a 1\r\nQUIT\r\nSET b 2\r\n")
    assert not client.is_closed
    node.replica.release_writes()
    assert client.hear() == b"+OK\r\n+OK\r\n"
    assert client.is_closed
    assert node.replica.calls == [("write", 1)]


def test_reply_off_skip_and_on() -> None:
    client = Node().client()
    assert client.say(b"CLIENT REPLY SKIP\r\nSET a 1\r\nGET a\r\n") == b"$1\r\n1\r\n"
    assert client.say(b"CLIENT REPLY OFF\r\nPING\r\nSET a 2\r\nfoo\r\nGET a\r\n") == b""
    assert client.say(b"CLIENT REPLY SKIP\r\nCLIENT REPLY ON\r\nGET a\r\n") == b"+OK\r\n$1\r\n2\r\n"


def test_a_pause_of_writes_lets_reads_pass_and_keeps_order() -> None:
    node = Node()
    admin, client = node.client(), node.client()
    assert admin.say(b"CLIENT PAUSE 1000 WRITE\r\n") == b"+OK\r\n"
    assert client.say(b"GET a\r\nSET a 1\r\nGET a\r\nPING\r\n") == b"$-1\r\n"
    assert client.say(b"PING\r\n") == b""
    assert admin.say(b"GET a\r\nCLIENT UNPAUSE\r\n") == b"$-1\r\n+OK\r\n"
    assert client.hear() == b"+OK\r\n$1\r\n1\r\n+PONG\r\n+PONG\r\n"


def test_a_pause_of_all_ends_by_itself() -> None:
    node = Node()
    admin, client = node.client(), node.client()
    admin.say(b"CLIENT PAUSE 1000\r\n")
    assert client.say(b"PING\r\nMULTI\r\nSET a 1\r\nEXEC\r\n") == b""
    assert client.session.queue.blocked == "pause"
    node.clock.advance(1.0)
    assert client.hear() == b"+PONG\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n"


def test_exec_with_writes_waits_for_a_pause_of_writes() -> None:
    node = Node()
    admin, client = node.client(), node.client()
    client.say(b"MULTI\r\nSET a 1\r\n")
    admin.say(b"CLIENT PAUSE 1000 WRITE\r\n")
    assert client.say(b"EXEC\r\n") == b""
    node.clock.advance(1.0)
    assert client.hear() == b"*1\r\n+OK\r\n"


def test_a_command_that_takes_time_holds_back_what_follows() -> None:
    node = Node()
    client = node.client()
    node.replica.hold_reads = True
    client.send(b"MEMORY USAGE a\r\nSET a 1\r\nPING\r\n")
    assert node.replica.calls == [("read",)]
    node.replica.release_reads()
    assert client.hear() == b"$-1\r\n+OK\r\n+PONG\r\n"


def test_backpressure_stops_reading_from_a_client_that_owes_too_much() -> None:
    node = Node(client_pending_bytes=10_000)
    node.replica.hold_writes = True
    client = node.client()
    sent = 0
    while client.wire.producerState == "producing" and sent < 1000:
        client.send(b"SET a %b\r\n" % (b"v" * 100))
        sent += 1
    assert client.wire.producerState == "paused"
    assert 5 < sent < 200
    node.replica.release_writes()
    assert client.hear() == b"+OK\r\n" * sent
    assert client.wire.producerState == "producing"
    assert client.session.queue.pending_bytes == 0


def test_a_client_that_takes_nothing_is_bounded_whatever_it_asks_for() -> None:
    """It is told no more than it takes: a hundred thousand replies are not made for it in advance."""
    node = Node()
    client = node.client()
    client.say(b"SET big %b\r\n" % (b"v" * 50_000))
    client.session.output.pauseProducing()
    client.send(b"GET big\r\n" * 1000)
    node.clock.advance(0)
    assert UNREAD_BYTES < client.session.output.unsent < 3 * UNREAD_BYTES
    assert client.wire.producerState == "producing", "it may have to send more before it reads"
    node.clock.advance(60)
    assert not client.is_closed
    client.session.output.resumeProducing()
    assert client.hear() == (b"$50000\r\n%b\r\n" % (b"v" * 50_000)) * 1000
    assert client.wire.producerState == "producing"


def test_a_client_that_takes_nothing_of_a_large_reply_is_closed() -> None:
    node = Node(client_output_limits=OutputLimits(OutputLimit(soft=1 << 20, seconds=10)))
    client = node.client()
    client.call("SET", "big", b"v" * (1 << 21))
    client.session.output.pauseProducing()
    client.send(b"GET big\r\n" * 1000)
    node.clock.advance(0)
    assert client.session.output.unsent < (2 << 20) + 100
    node.clock.advance(9)
    assert not client.is_closed
    node.clock.advance(2)
    assert client.is_closed
    assert node.factory.counters["output_overruns"] == 1


def test_a_client_that_takes_its_replies_slowly_gets_them_all() -> None:
    node = Node()
    client = node.client()
    client.say(b"SET big %b\r\n" % (b"v" * 50_000))
    output = client.session.output
    output.pauseProducing()
    client.send(b"GET big\r\n" * 200 + b"SET after 1\r\n")
    write = client.wire.write

    def one_piece(data: bytes) -> None:
        write(data)
        output.pauseProducing()

    client.wire.write = one_piece
    for _ in range(1000):
        node.clock.advance(5)
        if not output.unsent and not client.session.unanswered:
            break
        output.resumeProducing()
    assert client.wire.value() == b"$50000\r\n%b\r\n" % (b"v" * 50_000) * 200 + b"+OK\r\n"
    assert not client.is_closed


def test_large_replies_are_made_in_several_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are served between them; nothing else of the connection changes."""
    monkeypatch.setattr(runs, "SLICE_SECONDS", -1.0)
    client = Node().client()
    assert client.call("SET", "big", b"v" * 400_000) == b"OK"
    client.send(b"GET big\r\n" * 20)
    client.send(b"SET after 1\r\n")
    assert len(client.wire.value()) < 4_000_000, "the rest waits for its turn"
    assert client.hear() == b"$400000\r\n%b\r\n" % (b"v" * 400_000) * 20 + b"+OK\r\n"


def test_replies_are_not_made_far_ahead_of_a_client_that_takes_none() -> None:
    client = Node().client()
    assert client.call("SET", "big", b"v" * 400_000) == b"OK"
    client.session.output.pauseProducing()
    client.send(b"GET big\r\n" * 30)
    client.send(b"GET big\r\n" * 30)
    assert client.session.output.unsent < UNREAD_BYTES + 2_000_000
    client.session.output.resumeProducing()
    assert client.hear() == b"$400000\r\n%b\r\n" % (b"v" * 400_000) * 60


def test_a_connection_lost_between_such_turns_is_answered_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "SLICE_SECONDS", -1.0)
    client = Node().client()
    assert client.call("SET", "big", b"v" * 400_000) == b"OK"
    client.send(b"GET big\r\n" * 20)
    assert client.session.unanswered
    client.lose()
    answered = client.wire.value()
    client.node.clock.advance(0)
    assert client.wire.value() == answered
    assert client.node.clock.getDelayedCalls() == []


def test_a_bug_while_answering_closes_the_connection_and_says_so_in_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from twisted.logger import globalLogPublisher

    seen = []
    globalLogPublisher.addObserver(seen.append)
    try:
        node = Node()
        client = node.client()
        monkeypatch.setattr(node.replica, "submit_write", lambda request: request.applied([object()], 0, 0.0))
        client.send(b"SET a 1\r\n")
        assert client.is_closed
        assert any("answering" in (event.get("log_format") or "") for event in seen)
    finally:
        globalLogPublisher.removeObserver(seen.append)


def test_clients_that_wait_for_one_large_value_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a hundred clients that ask for it and read nothing would hold a hundred copies."""
    node = Node()
    value = b"v" * (3 << 20)
    node.client().call("SET", "big", value)
    held = node.replica.machine.query((b"GET", b"big"), 0)
    clients = [node.client() for _ in range(3)]
    for client in clients:
        written: list[bytes] = []
        monkeypatch.setattr(client.session.output, "write", written.append)
        client.send(b"SET a 1\r\nGET a\r\nGET big\r\nGET a\r\nGET big\r\nGET none\r\n")
        node.clock.advance(0)
        assert [part for part in written if part is held] == [held, held]
        big = b"$3145728\r\n%b\r\n" % value
        assert b"".join(written) == b"+OK\r\n$1\r\n1\r\n%b$1\r\n1\r\n%b$-1\r\n" % (big, big)
        assert client.session.queue.pending_bytes == 0


def test_a_large_value_asked_silently_is_not_answered() -> None:
    node = Node()
    client = node.client()
    client.call("SET", "big", b"v" * (3 << 20))
    assert client.say(b"CLIENT REPLY OFF\r\nGET big\r\nGET big\r\nCLIENT REPLY ON\r\nPING\r\n") == b"+OK\r\n+PONG\r\n"


def test_large_values_are_evaluated_only_as_the_client_takes_them() -> None:
    node = Node()
    client = node.client()
    client.call("SET", "big", b"v" * (3 << 20))
    client.session.output.pauseProducing()
    client.send(b"GET big\r\n" * 4 + b"PING\r\n")
    node.clock.advance(0)
    assert (3 << 20) <= client.session.output.unsent < (4 << 20)
    client.session.output.resumeProducing()
    assert client.hear() == (b"$3145728\r\n%b\r\n" % (b"v" * (3 << 20))) * 4 + b"+PONG\r\n"
