"""Which commands are counted, with which time: INFO commandstats, LATENCY HISTOGRAM, SLOWLOG. As in Redis 7.0.15."""

from __future__ import annotations

from typing import Any

import pytest

from leto.interfaces.replica import WriteRequest
from leto.keyspace import batch
from leto.raft.messages import Entry, EntryKind
from tests.clients.conversation import Client, Node, error

SLOW = {b"APPEND": 0.02, b"STRLEN": 0.03, b"KEYS": 0.04, b"GET": 0.00001, b"SET": 0.00002}


@pytest.fixture
def node() -> Node:
    """Its clock goes on by SLOW's seconds with each such command that the keyspace carries out."""
    node = Node()
    machine = node.replica.machine
    machine.seconds = node.clock.seconds

    def slowed(function: Any, name: bytes) -> Any:
        def run(db: Any, argv: Any) -> Any:
            node.clock.rightNow += SLOW[name]
            return function(db, argv)

        return run

    for table in (machine._applies, machine._reads):
        for name in SLOW:
            if name in table:
                function, *arity = table[name]
                table[name] = (slowed(function, name), *arity)
    return node


def slow_log(client: Client) -> list[tuple[list[bytes], int]]:
    """(arguments, microseconds), the oldest first."""
    return [(entry[3], entry[2]) for entry in reversed(client.call("SLOWLOG", "GET", -1))]


def stats(client: Client) -> dict[str, dict[str, float]]:
    lines = client.call("INFO", "commandstats").decode().splitlines()[1:]
    found = {}
    for line in lines:
        name, _, fields = line.removeprefix("cmdstat_").partition(":")
        found[name] = {key: float(value) for key, value in (field.split("=") for field in fields.split(","))}
    return found


def histogram(client: Client, *names: str) -> dict[bytes, tuple[int, dict[int, int]]]:
    flat = client.call("LATENCY", "HISTOGRAM", *names)
    return {
        name: (facts[1], dict(zip(facts[3][::2], facts[3][1::2], strict=True)))
        for name, facts in zip(flat[::2], flat[1::2], strict=True)
    }


@pytest.mark.parametrize(
    "commands",
    [
        ("SET a 1", "APPEND a x", "STRLEN a", "GET a", "KEYS *", "CLIENT ID"),
        ("STRLEN a", "GET a", "KEYS *", "CLIENT ID"),
        ("APPEND a x", "APPEND a y", "PING"),
    ],
    ids=["mixed", "reads", "writes"],
)
def test_commands_inside_exec_are_counted_and_logged_each_with_its_time(node: Node, commands: tuple[str, ...]) -> None:
    client = node.client()
    replies = client.pipeline(("MULTI",), *[tuple(command.split()) for command in commands], ("EXEC",))
    assert len(replies[-1]) == len(commands)
    times = [SLOW.get(command.split()[0].encode(), 0.0) for command in commands]
    expected = [
        (command.encode().split(), pytest.approx(seconds * 1e6, abs=1))
        for command, seconds in zip(commands, times, strict=True)
        if seconds >= 0.01
    ]
    assert slow_log(client) == expected
    found = stats(client)
    for command in commands:
        name = "client|id" if command == "CLIENT ID" else command.split()[0].lower()
        calls = sum(other.split()[0] == command.split()[0] for other in commands)
        assert found[name]["calls"] == calls
    assert found["exec"]["calls"] == found["multi"]["calls"] == 1
    if "APPEND" in commands[0]:
        assert found["append"]["usec"] == pytest.approx(40_000, abs=2)
        assert found["exec"]["usec"] == pytest.approx(40_000, abs=2)
    else:
        assert found["keys"]["usec"] == pytest.approx(40_000, abs=2)
        assert found["exec"]["usec"] == pytest.approx(sum(times) * 1e6, abs=30)
        assert histogram(client, "keys", "exec") == {b"keys": (1, {65536: 1}), b"exec": (1, {131072: 1})}


def test_the_transactions_of_one_entry_are_told_apart(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[WriteRequest] = []
    clients = [node.client() for _ in range(3)]
    with monkeypatch.context() as gathering:
        gathering.setattr(node.replica, "submit_write", requests.append)
        clients[0].send(b"SET a 1\r\nSET b 1\r\nMULTI\r\nAPPEND a x\r\nEXEC\r\n")
        clients[1].send(b"MULTI\r\nSET b 2\r\nAPPEND b yy\r\nEXEC\r\n")
    count = sum(request.count for request in requests)
    payload = batch.encode(1, count, b"".join(request.payload for request in requests))
    replies = node.replica.machine.apply(Entry(1, 1, EntryKind.COMMAND, payload)).replies
    start = 0
    for request in requests:
        request.applied(replies, start, 1.0)
        start += request.count
    assert clients[0].hear() == b"+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n:2\r\n"
    assert clients[1].hear().endswith(b"*2\r\n+OK\r\n:3\r\n")
    assert slow_log(clients[2]) == [
        ([b"APPEND", b"a", b"x"], pytest.approx(20_000, abs=1)),
        ([b"APPEND", b"b", b"yy"], pytest.approx(20_000, abs=1)),
    ]


def test_what_is_queued_and_never_carried_out_is_not_counted(node: Node) -> None:
    client, other = node.client(), node.client()
    client.pipeline(("MULTI",), ("APPEND", "a", "x"), ("DISCARD",))
    client.pipeline(("WATCH", "a"))
    client.call("WATCH", "a")
    other.call("SET", "a", "1")
    client.pipeline(("MULTI",), ("APPEND", "a", "x"), ("EXEC",))
    found = stats(client)
    assert "append" not in found
    assert (found["multi"]["calls"], found["discard"]["calls"], found["exec"]["calls"]) == (2, 1, 1)


def test_a_forwarded_transaction_is_counted_without_times(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """The leader carried it out, and only it knows how long that took; not what this node applied last."""
    client = node.client()
    client.pipeline(("MULTI",), ("APPEND", "a", "x"), ("EXEC",))
    with monkeypatch.context() as proxying:
        proxying.setattr(node.replica, "submit_write", lambda request: request.applied([[7]], 0, 0.0))
        assert client.pipeline(("MULTI",), ("APPEND", "a", "x"), ("EXEC",))[-1] == [7]
    found = stats(client)["append"]
    assert (found["calls"], found["usec"]) == (2, pytest.approx(20_000, abs=1))


def test_connection_commands_reach_the_slow_log(node: Node) -> None:
    client = node.client()
    client.call("CONFIG", "SET", "slowlog-log-slower-than", 0)
    client.call("SLOWLOG", "RESET")
    client.pipeline(("CLIENT", "ID"), ("CONFIG", "GET", "port"), ("MULTI",), ("PING",), ("EXEC",), ("foo",), ("GET",))
    client.call("MEMORY", "USAGE", "a")
    assert [arguments for arguments, _ in slow_log(client)] == [
        [b"SLOWLOG", b"RESET"],
        [b"CLIENT", b"ID"],
        [b"CONFIG", b"GET", b"port"],
        [b"MULTI"],
        [b"PING"],
        [b"MEMORY", b"USAGE", b"a"],
    ], "EXEC has the flag skip_slowlog, and what is refused is not carried out"


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("AUTH secret", "AUTH (redacted)"),
        ("AUTH default secret", "AUTH (redacted) (redacted)"),
        ("HELLO 2 AUTH default secret SETNAME me", "HELLO 2 AUTH (redacted) (redacted) SETNAME me"),
        ("HELLO 2", "HELLO 2"),
        ("CONFIG SET maxclients 9 requirepass secret", "CONFIG SET maxclients 9 requirepass (redacted)"),
    ],
)
def test_the_slow_log_holds_no_password(words: str, kept: str) -> None:
    client = Node().client()
    client.call("CONFIG", "SET", "slowlog-log-slower-than", 0)
    client.call("SLOWLOG", "RESET")
    client.call(*words.split())
    assert slow_log(client)[1][0] == kept.encode().split()


def test_a_slow_read_in_a_pipeline_does_not_count_for_its_neighbours(node: Node) -> None:
    client = node.client()
    client.pipeline(("GET", "a"), ("KEYS", "*"), ("GET", "a"))
    found = stats(client)
    assert found["keys"]["usec"] == pytest.approx(40_000, abs=2)
    assert found["get"]["usec"] == pytest.approx(20, abs=1)
    assert histogram(client, "keys") == {b"keys": (1, {65536: 1})}


def test_a_pipeline_answered_in_several_goes_has_the_time_of_all(node: Node) -> None:
    client = node.client()
    client.call("SET", "a", "x" * 300_000)
    client.session.output.pauseProducing()
    client.send(b"GET a\r\n" * 50)
    client.session.output.resumeProducing()
    client.hear()
    assert stats(client)["get"] == pytest.approx(
        {"calls": 50, "usec": 500, "usec_per_call": 10, "rejected_calls": 0, "failed_calls": 0}, abs=2
    )


def test_the_histogram_is_cumulative_and_leaves_empty_buckets_out(node: Node) -> None:
    client = node.client()
    for _ in range(3):
        client.call("GET", "a")
    client.pipeline(*[("SET", "a", "1")] * 5)
    client.call("APPEND", "a", "x")
    assert histogram(client, "get", "append", "no-such-command") == {
        b"get": (3, {16: 3}),
        b"append": (1, {32768: 1}),
    }
    assert set(histogram(client, "latency")) == {b"latency|histogram"}
    assert set(histogram(client)) >= {b"get", b"set", b"append"}
    assert client.call("CONFIG", "RESETSTAT") == b"OK"
    assert histogram(client, "get") == {}
    assert error(client.call("LATENCY", "HISTOGRAMS")).startswith("ERR unknown subcommand")
