"""MULTI, EXEC, DISCARD, WATCH, UNWATCH."""

from __future__ import annotations

import pytest

from leto.errors import NoQuorum, OutcomeUnknown
from tests.clients.conversation import Node, error


def test_a_transaction_with_a_write_is_one_request_of_the_log() -> None:
    node = Node()
    client = node.client()
    heard = client.say(b"MULTI\r\nSET a 1\r\nGET a\r\nINCR a\r\nEXEC\r\n")
    assert heard == b"+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+OK\r\n$1\r\n1\r\n:2\r\n"
    assert node.replica.calls == [("write", 1)]


def test_a_transaction_of_reads_is_evaluated_at_one_instant_on_any_node() -> None:
    node = Node()
    client = node.client()
    client.call("SET", "a", 1)
    node.replica.is_leader = False
    node.replica.calls.clear()
    assert client.say(b"MULTI\r\nGET a\r\nEXISTS a b\r\nEXEC\r\n").endswith(b"*2\r\n$1\r\n1\r\n:1\r\n")
    assert node.replica.calls == [("read",)]


def test_a_transaction_with_a_write_on_a_follower_is_refused_at_exec() -> None:
    node = Node()
    node.replica.is_leader = False
    client = node.client()
    assert client.say(b"MULTI\r\nGET a\r\nSET a 1\r\nEXEC\r\n") == b"+OK\r\n+QUEUED\r\n+QUEUED\r\n-not leader\r\n"
    assert client.session.transaction is None


def test_moved_of_a_transaction_names_the_slot_of_its_first_write() -> None:
    node = Node(on_follower="moved")
    node.replica.is_leader = False
    node.replica.leader_address = "10.0.0.2:6379"
    assert node.client().say(b"MULTI\r\nGET x\r\nSET foo 1\r\nEXEC\r\n").endswith(b"-MOVED 12182 10.0.0.2:6379\r\n")


def test_an_empty_transaction() -> None:
    assert Node().client().say(b"MULTI\r\nEXEC\r\n") == b"+OK\r\n*0\r\n"


def test_connection_commands_in_a_transaction_keep_their_place() -> None:
    client = Node().client()
    heard = client.say(b"MULTI\r\nPING\r\nSET a 1\r\nECHO x\r\nGET a\r\nCLIENT GETNAME\r\nSELECT 9\r\nEXEC\r\n")
    assert heard.endswith(b"*6\r\n+PONG\r\n+OK\r\n$1\r\nx\r\n$1\r\n1\r\n$-1\r\n-ERR DB index is out of range\r\n")
    assert client.say(b"MULTI\r\nPING\r\nEXEC\r\n").endswith(b"*1\r\n+PONG\r\n")


@pytest.mark.parametrize(
    "bad",
    [b"foo\r\n", b"SET a\r\n", b"CLIENT foo\r\n", b"JOIN 127.0.0.1:1 b\r\n"],
)
def test_an_error_while_queueing_discards_the_transaction(bad: bytes) -> None:
    client = Node().client()
    heard = client.say(b"MULTI\r\nSET a 1\r\n" + bad + b"EXEC\r\nGET a\r\n")
    assert heard.endswith(b"-EXECABORT Transaction discarded because of previous errors.\r\n$-1\r\n")


def test_an_error_while_executing_does_not_undo_the_rest() -> None:
    client = Node().client()
    heard = client.say(b"MULTI\r\nSET a x\r\nINCR a\r\nSET b 1\r\nEXEC\r\n")
    assert heard.endswith(b"*3\r\n+OK\r\n-ERR value is not an integer or out of range\r\n+OK\r\n")


@pytest.mark.parametrize(
    ("commands", "words"),
    [
        (b"EXEC\r\n", "ERR EXEC without MULTI"),
        (b"DISCARD\r\n", "ERR DISCARD without MULTI"),
        (b"MULTI\r\nMULTI\r\n", "ERR MULTI calls can not be nested"),
        (b"MULTI\r\nWATCH a\r\n", "ERR WATCH inside MULTI is not allowed"),
        (
            b"MULTI\r\nEXEC a\r\n",
            "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command",
        ),
        (b"MULTI\r\nSAVE\r\n", "ERR Command not allowed inside a transaction"),
    ],
)
def test_what_is_refused(commands: bytes, words: str) -> None:
    assert Node().client().say(commands).endswith(b"-%b\r\n" % words.encode())


def test_wait_and_memory_usage_are_answered_at_exec() -> None:
    client = Node().client()
    heard = client.say(b"MULTI\r\nMEMORY USAGE a\r\nWAIT x 1\r\nEXEC\r\n")
    assert heard.endswith(b"*2\r\n$-1\r\n-ERR value is not an integer or out of range\r\n")
    heard = client.say(b"MULTI\r\nSET a 1\r\nMEMORY USAGE a\r\nMEMORY USAGE a SAMPLES -1\r\nWAIT 1 0\r\nEXEC\r\n")
    size = client.say(b"MEMORY USAGE a\r\n")
    assert size.startswith(b":")
    assert heard.endswith(b"*4\r\n+OK\r\n" + size + b"-ERR syntax error\r\n:0\r\n")


def test_memory_usage_at_exec_holds_an_expired_key_for_missing_like_the_reads_beside_it() -> None:
    node = Node()
    client = node.client()
    client.say(b"SET a 1 PX 1000\r\n")
    later = node.replica.wall_ms() + 1001
    node.replica.wall_ms = lambda: later
    assert client.say(b"MULTI\r\nGET a\r\nMEMORY USAGE a\r\nEXEC\r\n").endswith(b"*2\r\n$-1\r\n$-1\r\n")


@pytest.mark.parametrize("command", [b"SLOWLOG RESET", b"LATENCY RESET x"])
def test_a_subcommand_called_reset_is_queued(command: bytes) -> None:
    assert Node().client().say(b"MULTI\r\n" + command + b"\r\n") == b"+OK\r\n+QUEUED\r\n"


def test_a_refused_exec_discards_the_transaction() -> None:
    client = Node().client()
    client.say(b"MULTI\r\nSET a 1\r\nEXEC a\r\n")
    assert client.say(b"GET a\r\nEXEC\r\n") == b"$-1\r\n-ERR EXEC without MULTI\r\n"


def test_discard_forgets_the_queue_and_the_watch() -> None:
    node = Node()
    client, other = node.client(), node.client()
    client.say(b"WATCH a\r\nMULTI\r\nSET a 1\r\nDISCARD\r\n")
    other.call("SET", "a", 2)
    assert client.say(b"MULTI\r\nSET a 3\r\nEXEC\r\n").endswith(b"*1\r\n+OK\r\n")


def test_a_watched_key_that_changed_aborts() -> None:
    node = Node()
    client, other = node.client(), node.client()
    client.say(b"SET a 1\r\nWATCH a b\r\n")
    other.call("SET", "a", 2)
    assert client.say(b"MULTI\r\nSET a 3\r\nEXEC\r\n").endswith(b"*-1\r\n")
    assert client.call("GET", "a") == b"2"
    assert client.say(b"MULTI\r\nSET a 3\r\nEXEC\r\n").endswith(b"*1\r\n+OK\r\n")


def test_a_watched_key_that_changed_aborts_a_transaction_of_reads() -> None:
    node = Node()
    client, other = node.client(), node.client()
    client.say(b"HELLO 3\r\nWATCH a\r\n")
    other.call("SET", "a", 2)
    assert client.say(b"MULTI\r\nGET a\r\nEXEC\r\n").endswith(b"_\r\n")


def test_watch_is_right_when_pipelined_after_own_writes() -> None:
    node = Node()
    node.replica.hold_writes = True
    client = node.client()
    client.send(b"SET a 1\r\nWATCH a\r\nMULTI\r\nINCR a\r\nEXEC\r\n")
    node.replica.release_writes()
    node.replica.release_writes()
    assert client.hear() == b"+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n:2\r\n"


def test_a_write_between_watch_and_exec_in_one_pipeline_aborts() -> None:
    client = Node().client()
    assert client.say(b"WATCH a\r\nSET a 1\r\nMULTI\r\nSET a 2\r\nEXEC\r\n").endswith(b"*-1\r\n")


def test_unwatch_lets_exec_go_on() -> None:
    node = Node()
    client, other = node.client(), node.client()
    client.say(b"WATCH a\r\n")
    other.call("SET", "a", 2)
    assert client.say(b"UNWATCH\r\nMULTI\r\nSET a 3\r\nEXEC\r\n").endswith(b"*1\r\n+OK\r\n")


def test_unwatch_behind_an_unresolved_watch_forgets_it() -> None:
    node = Node()
    node.replica.hold_reads = True
    client, other = node.client(), node.client()
    client.send(b"WATCH a\r\nUNWATCH\r\nMULTI\r\nSET a 3\r\nEXEC\r\n")
    other.call("SET", "a", 2)
    node.replica.release_reads()
    assert client.hear().endswith(b"*1\r\n+OK\r\n")


def test_watching_twice_keeps_the_first_instant() -> None:
    node = Node()
    client, other = node.client(), node.client()
    client.call("WATCH", "a")
    other.call("SET", "a", 2)
    client.call("WATCH", "a")
    assert client.say(b"MULTI\r\nSET a 3\r\nEXEC\r\n").endswith(b"*-1\r\n")


def test_a_watch_that_failed_aborts_the_transaction() -> None:
    node = Node()
    client = node.client()
    node.replica.refusal = NoQuorum("none")
    assert error(client.call("WATCH", "a")) == "NOQUORUM none"
    node.replica.refusal = None
    assert client.say(b"MULTI\r\nSET a 3\r\nEXEC\r\n").endswith(b"*-1\r\n")
    assert client.say(b"MULTI\r\nSET a 3\r\nEXEC\r\n").endswith(b"*1\r\n+OK\r\n")


def test_the_fate_of_a_transaction_may_be_unknown() -> None:
    node = Node()
    client = node.client()
    node.replica.refusal = OutcomeUnknown("who knows")
    assert client.say(b"MULTI\r\nSET a 3\r\nEXEC\r\n").endswith(b"-UNCERTAIN who knows\r\n")


def test_optimistic_locking_keeps_a_counter_exact() -> None:
    node = Node()
    clients = [node.client() for _ in range(3)]
    done = 0
    clients[0].call("SET", "n", 0)
    values: dict[int, int] = {}
    for step in range(60):
        number = step * 7 % 3
        client = clients[number]
        if number not in values:
            client.call("WATCH", "n")
            values[number] = int(client.call("GET", "n"))
        else:
            value = values.pop(number)
            heard = client.say(b"MULTI\r\nSET n %d\r\nEXEC\r\n" % (value + 1))
            done += heard.endswith(b"*1\r\n+OK\r\n")
    assert 0 < done < 30
    assert int(clients[0].call("GET", "n")) == done


@pytest.mark.parametrize("transaction", [b"MULTI\r\nHELLO 3\r\nEXEC\r\n", b"MULTI\r\nSET b 1\r\nHELLO 3\r\nEXEC\r\n"])
def test_what_follows_an_exec_that_changed_the_protocol_is_answered_in_the_new_one(transaction: bytes) -> None:
    node = Node()
    node.replica.hold_reads = node.replica.hold_writes = True
    client = node.client()
    client.send(transaction + b"GETSET a 5\r\nGET c\r\n")
    for _ in range(3):
        node.replica.release_writes()
        node.replica.release_reads()
    assert client.hear().endswith(b"_\r\n_\r\n")
    assert client.say(b"PING\r\n") == b"+PONG\r\n"
