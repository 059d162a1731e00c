"""Clients that send before they read: what is kept for them, when they are read from, and when they are closed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from twisted.logger import globalLogPublisher

from leto.clients import session
from leto.clients.flow import UNREAD_BYTES
from leto.clients.output import PIECE
from leto.config import OutputLimit, OutputLimits
from leto.vocabulary.replies import Status
from tests.clients.conversation import Client, Node, error

CHUNK = 65536  # what a socket gives at once
MEGA = b"m" * (1 << 20)


def mute(client: Client) -> Client:
    """It takes nothing from now on."""
    client.session.output.pauseProducing()
    return client


def listen(client: Client) -> bytes:
    """It takes all there is, until nothing more comes."""
    client.session.output.resumeProducing()
    heard = []
    while part := client.hear():
        heard.append(part)
    return b"".join(heard)


def send_all(client: Client, data: bytes) -> int:
    """As a library that sends a whole pipeline before it reads: as long as it is read from. What was taken."""
    sent = 0
    while sent < len(data) and client.wire.producerState == "producing" and not client.is_closed:
        client.send(data[sent : sent + CHUNK])
        sent += CHUNK
        client.node.clock.advance(0)
    return min(sent, len(data))


def kept(client: Client) -> int:
    return client.session.queue.held + client.session.output.unsent + client.session.queue.pending_bytes


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []

    def note(event: dict[str, Any]) -> None:
        lines.append((event.get("log_format") or "").format(**event))

    globalLogPublisher.addObserver(note)
    yield lines
    globalLogPublisher.removeObserver(note)


# pipelines that are sent before they are read ---------------------------------------------------------


@pytest.mark.parametrize("pending_bytes", [16 << 20, 10_000])
@pytest.mark.parametrize("leads", [True, False])
def test_a_pipeline_of_reads_is_taken_whole_before_any_reply_is(leads: bool, pending_bytes: int) -> None:
    """Also where so many are under way that the client would not be read from for that."""
    node = Node(client_pending_bytes=pending_bytes)
    client = node.client()
    client.call("SET", "v", b"v" * 64)
    node.replica.is_leader = leads
    request, reply = b"*2\r\n$3\r\nGET\r\n$1\r\nv\r\n", b"$64\r\n%b\r\n" % (b"v" * 64)
    data = request * 100_000
    assert send_all(mute(client), data) == len(data)
    assert kept(client) <= 2 * len(data)
    assert listen(client) == reply * 100_000
    assert kept(client) == 0


def test_reads_are_not_evaluated_ahead_of_what_the_client_sends_ahead() -> None:
    client = Node().client()
    client.call("SET", "mega", MEGA)
    data = b"GET mega\r\n" * 30_000
    assert send_all(mute(client), data) == len(data)
    assert client.session.output.unsent <= len(MEGA) + UNREAD_BYTES + 100, "30,000 replies were asked for"


def test_large_reads_and_then_large_writes_in_one_pipeline() -> None:
    client = Node().client()
    client.call("SET", "mega", MEGA)
    write = b"*3\r\n$3\r\nSET\r\n$4\r\nmega\r\n$1048576\r\n%b\r\n" % MEGA
    data = b"GET mega\r\n" * 8 + write * 8
    assert send_all(mute(client), data) == len(data)
    assert listen(client) == b"$1048576\r\n%b\r\n" % MEGA * 8 + b"+OK\r\n" * 8


def test_writes_are_carried_out_however_little_the_client_reads() -> None:
    """Their replies are smaller than they are: keeping the replies is cheaper."""
    node = Node()
    client = node.client()
    request = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100\r\n%b\r\n" % (b"v" * 100)
    data = request * 200_000
    assert send_all(mute(client), data) == len(data) > 20_000_000
    assert UNREAD_BYTES < client.session.output.unsent < 200_000 * len(b"+OK\r\n")
    assert kept(client) <= 2 * 200_000 * len(b"+OK\r\n")
    assert listen(client) == b"+OK\r\n" * 200_000


def test_a_transaction_of_a_hundred_thousand_commands() -> None:
    client = Node().client()
    data = b"MULTI\r\n" + b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n" * 100_000 + b"EXEC\r\n"
    assert send_all(mute(client), data) == len(data)
    heard = listen(client)
    assert heard.startswith(b"+OK\r\n" + b"+QUEUED\r\n" * 100_000 + b"*100000\r\n:1\r\n")
    assert heard.endswith(b":100000\r\n")


def test_connection_commands_with_long_replies_are_answered_as_these_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "ANSWERED_BYTES", 100_000)
    client = Node().client()
    one = client.say(b"COMMAND DOCS\r\n")
    mute(client).send(b"COMMAND DOCS\r\n" * 100 + b"SET a 1\r\nGET a\r\n")
    for _ in range(50):
        client.node.clock.advance(0)
    assert kept(client) <= 2 * (len(one) + UNREAD_BYTES)
    assert listen(client) == one * 100 + b"+OK\r\n$1\r\n1\r\n"


def test_connection_commands_that_take_long_are_carried_out_in_turns() -> None:
    """Else one chunk of INFO would keep a node from its peers for seconds."""
    node = Node()
    client, other = node.client(), node.client()
    known = node.state.table.known[b"INFO"]
    done: list[bytes] = []

    def slow_info(session: Any, argv: list[bytes]) -> Status:
        done.append(argv[0])
        node.clock.rightNow += 0.003
        return Status(b"%d" % len(done))

    known.command = replace(known.command, function=slow_info)
    client.send(b"INFO\r\n" * 20 + b"SET a 1\r\nGET a\r\n")
    assert len(done) == 3
    assert other.say(b"PING\r\n") == b"+PONG\r\n"
    assert listen(client) == b"".join(b"+%d\r\n" % number for number in range(1, 21)) + b"+OK\r\n$1\r\n1\r\n"


def test_what_was_sent_ahead_waits_while_the_node_is_congested() -> None:
    node = Node()
    client = node.client()
    client.call("SET", "mega", MEGA)
    send_all(mute(client), b"GET mega\r\n" * 10 + b"SET a 1\r\n" * 50_000)
    held = client.session.queue.held
    assert held > UNREAD_BYTES
    node.replica.is_congested = True
    heard = listen(client)
    assert client.session.queue.held == held
    node.replica.is_congested = False
    node.clock.advance(0.01)
    heard += listen(client)
    assert heard.endswith(b"+OK\r\n" * 50_000)


def test_a_client_that_closes_its_half_after_it_has_sent_ahead_hears_everything() -> None:
    client = Node().client()
    client.call("SET", "mega", MEGA)
    send_all(mute(client), b"GET mega\r\n" * 3 + b"INCR n\r\n" * 50_000)
    client.protocol.readConnectionLost()
    assert not client.is_closed
    assert listen(client).endswith(b":49999\r\n:50000\r\n")
    assert client.is_closed


def test_a_connection_lost_with_requests_held_leaves_nothing_behind() -> None:
    node = Node()
    client = node.client()
    client.call("SET", "mega", MEGA)
    send_all(mute(client), b"GET mega\r\n" * 3 + b"INCR n\r\n" * 50_000)
    client.lose()
    node.clock.advance(1)
    assert client.session.queue.held == 0
    assert node.clock.getDelayedCalls() == []


def test_what_waits_for_the_node_itself_is_not_read() -> None:
    """The kernel keeps it: that ends without the client's help."""
    node = Node(client_pending_bytes=100_000)
    node.replica.hold_writes = True
    client = node.client()
    taken = send_all(client, b"INCR n\r\n" * 100_000)
    assert taken < 800_000
    assert kept(client) < 5_000_000
    node.replica.hold_writes = False
    node.replica.release_writes()
    assert listen(client).count(b"\r\n") == taken // 8
    assert client.wire.producerState == "producing"


# limits -----------------------------------------------------------------------------------------------------


def test_a_client_that_sends_too_far_ahead_is_closed(log: list[str]) -> None:
    node = Node(client_query_buffer_limit=1 << 20)
    client = node.client()
    client.call("SET", "mega", MEGA)
    data = b"GET mega\r\n" * 1_000_000
    assert 1 << 20 < send_all(mute(client), data) < 4 << 20
    assert client.wire.aborted
    assert client.session.queue.held == client.session.output.unsent == 0
    (line,) = [line for line in log if "query buffer" in line]  # as Redis has it
    assert line.startswith("Closing client that reached max query buffer length: id=1 addr=127.0.0.1:50000 ")
    assert r"GET mega\r\nGET mega\r\n" in line.partition("(qbuf initial bytes: ")[2]
    assert node.factory.counters["query_buffer_overruns"] == 1
    assert "client_query_buffer_limit_disconnections:1" in node.client().call("INFO", "stats").decode()


def test_clients_that_are_closed_one_after_another_do_not_fill_the_log(log: list[str]) -> None:
    node = Node(client_query_buffer_limit=1 << 20)
    node.client().call("SET", "mega", MEGA)
    for _ in range(5):
        send_all(mute(node.client()), b"GET mega\r\n" * 400_000)
    assert node.factory.counters["query_buffer_overruns"] == 5
    assert len([line for line in log if "query buffer" in line]) == 1
    node.clock.advance(10)
    send_all(mute(node.client()), b"GET mega\r\n" * 400_000)
    (_, line) = [line for line in log if "query buffer" in line]
    assert line.endswith("(and 4 times more since the last such line)")


def test_the_hard_output_limit_closes_at_once(log: list[str]) -> None:
    node = Node(client_output_limits=OutputLimits(OutputLimit(hard=2 << 20)))
    client = node.client()
    client.call("SET", "mega", MEGA)
    mute(client).send(b"GET mega\r\nGET mega\r\nGET mega\r\n")
    client.send(b"MGET mega mega mega\r\n")
    node.clock.advance(0)
    assert not client.is_closed, "nothing is evaluated before what was asked before it is taken"
    assert listen(client).count(MEGA) == 6
    client.call("SET", "huge", MEGA * 3)
    mute(client).send(b"GET huge\r\n")
    assert client.wire.aborted
    assert node.factory.counters["output_overruns"] == 1
    assert any("scheduled to be closed ASAP for overcoming of output buffer limits." in line for line in log)


def test_the_soft_output_limit_closes_once_it_has_lasted() -> None:
    node = Node(client_output_limits=OutputLimits(OutputLimit(soft=100_000, seconds=10)))
    client = node.client()
    client.call("SET", "v", b"v" * 150_000)
    for _ in range(3):
        mute(client).send(b"GET v\r\n")
        node.clock.advance(9)
        assert len(listen(client)) > 150_000
        assert not client.is_closed
    mute(client).send(b"GET v\r\n")
    node.clock.advance(11)
    assert client.wire.aborted


def test_a_client_that_has_not_authenticated_leaves_little_unread() -> None:
    client = mute(Node(password="secret").client())
    send_all(client, b"GET a\r\n" * 100_000)
    assert client.wire.aborted


def test_the_clients_that_keep_most_are_closed_where_all_keep_too_much(log: list[str]) -> None:
    node = Node(maxmemory_clients=10 << 20)
    clients = [node.client() for _ in range(12)]
    for number in range(13):
        clients[0].call("SET", f"v{number}", b"v" * (900_000 + number * 10_000))
    assert clients[3].call("CLIENT", "NO-EVICT", "on") == b"OK"
    for number, client in enumerate(clients):
        mute(client).send(b"GET v%d\r\n" % (number if number != 3 else 12))
    closed = [number for number, client in enumerate(clients) if client.wire.aborted]
    assert closed == [9, 10, 11], "until an eighth is free; the one that keeps most may not be closed"
    assert sum(kept(client) for client in clients) <= 10 << 20
    assert [line for line in log if line.startswith("Evicting client: id=")]
    assert node.factory.counters["evicted_clients"] == 3
    assert "evicted_clients:3" in node.client().call("INFO", "stats").decode()


KINDS = {
    "arriving": b"*2\r\n$3\r\nGET\r\n$9000000\r\n" + b"x" * 2_000_000,
    "queued": b"MULTI\r\n" + b"SET k %b\r\n" % (b"v" * 1000) * 2000,
    "reads": b"GET a\r\n" * 20_000,
    "writes": b"SET a %b\r\n" % (b"v" * 1000) * 1000,
    "behind": b"MEMORY USAGE a\r\n" + b"GET a\r\n" * 9_000,
    "watched": b"".join(
        b"WATCH %b\r\n" % b" ".join(b"key%d" % (n + m) for n in range(100)) for m in range(0, 9000, 100)
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_requests_count_as_replies_do(kind: str) -> None:
    node = Node(maxmemory_clients=1 << 20)
    node.replica.hold_writes = True
    node.replica.hold_reads = kind != "watched"
    client, other = node.client(), node.client()
    other.send(b"GET a\r\n")
    for start in range(0, len(KINDS[kind]), CHUNK):
        client.send(KINDS[kind][start : start + CHUNK])
    assert client.wire.aborted
    assert not other.is_closed


def test_requests_that_were_sent_ahead_count_as_well() -> None:
    """A reply of 1 MiB waits, 6,500 requests behind it, and 640 kB that nobody has looked at."""
    node = Node(maxmemory_clients=9 << 18)
    client = node.client()
    client.call("SET", "mega", MEGA)
    send_all(mute(client), b"GET mega\r\n" * 70_000)
    assert client.wire.aborted


def test_clients_that_wait_for_the_same_value_keep_it_once() -> None:
    node = Node(maxmemory_clients=8 << 20)
    clients = [node.client() for _ in range(40)]
    clients[0].call("SET", "mega", MEGA)
    for client in clients:
        mute(client).send(b"GET mega\r\nGET mega\r\n")
    assert not any(client.is_closed for client in clients)
    assert all(listen(client) == b"$1048576\r\n%b\r\n" % MEGA * 2 for client in clients)


def test_lowering_the_limit_takes_effect_at_once() -> None:
    node = Node()
    client = node.client()
    client.call("SET", "mega", MEGA)
    mute(client).send(b"GET mega\r\n")
    other = node.client()
    assert other.call("CONFIG", "SET", "maxmemory-clients", 500_000) == b"OK"
    assert client.wire.aborted
    assert other.call("CONFIG", "SET", "maxmemory-clients", 0) == b"OK"


def test_many_small_replies_that_wait_are_few_objects() -> None:
    client = mute(Node().client())
    for _ in range(30_000):
        client.send(b"PING\r\n")
    output = client.session.output
    assert output.unsent == 30_000 * len(b"+PONG\r\n")
    assert len(output.blocks) <= 1 + output.unsent // PIECE
    assert listen(client) == b"+PONG\r\n" * 30_000


# what is shown ------------------------------------------------------------------------------------------------


def test_client_list_tells_what_is_kept() -> None:
    node = Node()
    client, other = node.client(), node.client()
    client.call("SET", "mega", MEGA)
    mute(client).send(b"GET mega\r\n" * 3)
    client.send(b"PING\r\n" * 1000)
    other.send(b"MULTI\r\nGET abc\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100\r\nxyz")
    shown = {}
    for line in node.client().call("CLIENT", "LIST").decode().splitlines():
        fields = dict(field.split("=", 1) for field in line.split(" "))
        shown[int(fields["id"])] = {
            name: int(fields[name]) for name in ("qbuf", "argv-mem", "omem", "oll", "multi-mem")
        }
        assert int(fields["tot-mem"]) >= sum(shown[int(fields["id"])].values()) - int(fields["oll"])
    unsent = client.session.output.unsent
    assert shown[1] == {"qbuf": 6000, "argv-mem": 0, "omem": unsent, "oll": 3, "multi-mem": 0}
    assert unsent > UNREAD_BYTES
    assert shown[2]["qbuf"] == 3
    assert shown[2]["argv-mem"] > 0
    assert shown[2]["multi-mem"] > 0
    stats = node.client().call("INFO", "memory").decode()
    assert f"mem_clients_normal:{sum(other.kept_bytes for other in node.state.clients)}" in stats


def test_the_limits_are_settings_in_redis_words() -> None:
    client = Node().client()
    names = ("client-output-buffer-limit", "client-query-buffer-limit", "maxmemory-clients")
    assert client.call("CONFIG", "GET", *names)[1::2] == [
        b"normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
        b"1073741824",
        b"1073741824",
    ]
    assert client.call("CONFIG", "SET", names[0], "normal 1mb 512kb 60 Replica 0 0 0", names[1], "2mb") == b"OK"
    assert client.call("CONFIG", "SET", names[0], "pubsub 1 2 3") == b"OK"
    assert client.call("CONFIG", "GET", *names[:2])[1::2] == [
        b"normal 1048576 524288 60 slave 0 0 0 pubsub 1 2 3",
        b"2097152",
    ]
    for name, value, words in (
        (names[0], "normal 1 2", "Wrong number of arguments in buffer limit configuration."),
        (names[0], "foo 1 2 3", "Invalid client class specified in buffer limit configuration."),
        (names[0], "normal 1 2x 3", "Error in hard, soft or soft_seconds setting in buffer limit configuration."),
        (names[1], "100", "argument must be between 1048576 and 9223372036854775807 inclusive"),
        (names[2], "1x", "argument must be a memory value"),
    ):
        assert error(client.call("CONFIG", "SET", name, value)).endswith(f"'{name}') - {words}")
    assert "that this could be a share of" in error(client.call("CONFIG", "SET", names[2], "5%"))
