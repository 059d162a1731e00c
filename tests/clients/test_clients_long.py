"""Requests that take long are answered a slice at a time, and what must tell of one instant does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leto.clients.long import MANY, LongReply, encode_in_pieces
from leto.clients.turns import SLICE_SECONDS, Turns
from leto.keyspace.database import Database
from leto.reactor.stalls import StallMeter
from leto.resp.codec import encode, pack
from leto.vocabulary import glob, steps
from leto.vocabulary.replies import NULL_ARRAY, Error, Pairs, Set, Status, Verbatim
from tests.clients.conversation import Client, Node, error, parse

KEYS = 5000


@pytest.fixture
def node() -> Node:
    node = Node()
    client = node.client()
    client.call("MSET", *[word for i in range(KEYS) for word in (f"key:{i}", i)])
    node.replica.calls.clear()
    return node


class NextTurn:
    """A reactor whose next turn comes when the test says so."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def callLater(self, delay: float, function: Callable[[], None]) -> object:
        self.calls.append(function)
        return function

    def turn(self) -> None:
        calls, self.calls = self.calls, []
        for function in calls:
            function()


class Slow:
    """Each key that is looked at takes time; counts how many are in one turn of the reactor."""

    def __init__(self, node: Node, monkeypatch: Any) -> None:
        self.node = node
        self.reactor = NextTurn()
        node.state.turns = Turns(self.reactor, StallMeter())
        self.looks = 0
        self.turns: list[int] = []
        find = Database.find

        def slow(database: Database, key: bytes) -> Any:
            self.looks += 1
            node.clock.rightNow += SLICE_SECONDS / 1000
            return find(database, key)

        monkeypatch.setattr(Database, "find", slow)

    def turn(self) -> None:
        self.reactor.turn()
        self.node.clock.advance(0)
        self.turns.append(self.looks)
        self.looks = 0

    def until_answered(self, client: Client) -> bytes:
        heard = b""
        for _ in range(1000):
            self.turn()
            heard += client.wire.value()
            client.wire.clear()
            if not client.session.unanswered:
                return heard
        raise AssertionError("it is not answered")


def many(name: str, count: int = KEYS) -> bytes:
    return pack((name.encode(), *[b"key:%d" % i for i in range(count)]))


def exec_of(commands: list[bytes]) -> bytes:
    return b"".join((pack((b"MULTI",)), *commands, pack((b"EXEC",))))


REQUESTS = {
    "MGET": (many("MGET"), [b"%d" % i for i in range(KEYS)]),
    "EXISTS": (many("EXISTS"), KEYS),
    "EXEC of GETs": (exec_of([pack((b"STRLEN", b"key:%d" % i)) for i in range(KEYS)]), None),
    "EXEC of MGET": (exec_of([many("MGET"), pack((b"PING",))]), None),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_long_read_takes_turns_and_tells_of_one_instant(node: Node, monkeypatch: Any, name: str) -> None:
    request, expected = REQUESTS[name]
    client = node.client()
    slow = Slow(node, monkeypatch)
    client.send(request)
    assert node.replica.calls[-1] == ("hold",)
    reply = parse(slow.until_answered(client))[-1]
    assert ("release",) in node.replica.calls
    assert node.replica.calls.count(("hold",)) == node.replica.calls.count(("release",)) == 1
    assert max(slow.turns) <= 1000 + 2 * steps.LONG
    assert len([looks for looks in slow.turns if looks]) > 2
    if name == "EXEC of GETs":
        assert reply == [len(str(i)) for i in range(KEYS)]
    elif name == "EXEC of MGET":
        assert reply == [[b"%d" % i for i in range(KEYS)], b"PONG"]
    else:
        assert reply == expected


def test_short_elements_of_a_long_reply_leave_together(node: Node) -> None:
    client = node.client()
    client.say(pack((b"MULTI",)) + pack((b"SET", b"a", b"1")) * 4 * MANY)
    client.wire.writes = 0
    client.send(pack((b"EXEC",)))
    heard = b""
    for _ in range(40):
        heard += client.hear()
    assert heard == b"*%d\r\n" % (4 * MANY) + b"+OK\r\n" * 4 * MANY
    assert client.wire.writes <= 6


def test_a_long_transaction_takes_turns_though_its_replies_are_not_wanted(node: Node, monkeypatch: Any) -> None:
    client = node.client()
    client.say(pack((b"CLIENT", b"REPLY", b"OFF")) + pack((b"MULTI",)) + pack((b"SET", b"a", b"1")) * 10 * MANY)
    reactor = NextTurn()
    node.state.turns = Turns(reactor, StallMeter())
    step = LongReply.step

    def slow(reply: LongReply) -> bytes | None:
        node.clock.rightNow += SLICE_SECONDS / 2
        return step(reply)

    monkeypatch.setattr(LongReply, "step", slow)
    client.send(pack((b"EXEC",)))
    turns = 0
    while client.session.unanswered:
        reactor.turn()
        turns += 1
        assert turns < 100, "it is never answered"
    assert turns > 3
    assert client.hear() == b""


def test_a_client_that_leaves_holds_nothing(node: Node, monkeypatch: Any) -> None:
    client = node.client()
    Slow(node, monkeypatch)
    client.send(many("MGET"))
    assert node.replica.calls[-1] == ("hold",)
    client.lose()
    assert node.replica.calls[-1] == ("release",)


def test_a_client_that_takes_nothing_holds_nothing(node: Node, monkeypatch: Any) -> None:
    node.client().call("SET", "large", "x" * 400_000)
    client = node.client()
    slow = Slow(node, monkeypatch)
    client.protocol.session.output.pauseProducing()
    client.send(pack((b"GET", b"large")) + many("MGET"))
    for _ in range(20):
        slow.turn()
    held = node.replica.calls.count(("hold",)) - node.replica.calls.count(("release",))
    assert held == 0


def test_while_the_state_must_not_be_held_it_waits(node: Node) -> None:
    reactor = NextTurn()
    node.state.turns = Turns(reactor, StallMeter())
    allowed: list[bool] = []
    node.replica.hold = lambda: bool(allowed)  # type: ignore[method-assign]
    client = node.client()
    client.send(many("EXISTS"))
    for _ in range(5):
        reactor.turn()
        assert client.hear() == b""
    allowed.append(True)
    for _ in range(5):
        reactor.turn()
    assert client.hear() == b":%d\r\n" % KEYS


def test_order_is_kept_around_long_requests(node: Node) -> None:
    client = node.client()
    writes = exec_of([pack((b"INCR", b"n")) for _ in range(2000)] + [pack((b"ECHO", b"x"))])
    client.send(pack((b"GET", b"key:7")) + many("MGET") + writes + pack((b"GET", b"n")) + pack((b"PING",)))
    heard = b""
    for _ in range(200):
        heard += client.hear()
    replies = parse(heard)
    assert replies[:2] == [b"7", [b"%d" % i for i in range(KEYS)]]
    assert replies[2 + 2002] == [*range(1, 2001), b"x"]
    assert replies[-2:] == [b"2000", b"PONG"]


def test_nothing_is_read_while_the_keyspace_is_half_an_entrys(node: Node) -> None:
    node.replica.on_half_applied(True)
    clients = [node.client() for _ in range(3)]
    clients[0].send(b"GET key:1\r\n")
    clients[1].send(b"MULTI\r\nGET key:1\r\nEXEC\r\n")
    clients[2].send(b"GET key:1\r\nGET key:2\r\n")
    for _ in range(5):
        assert b"$1\r\n" not in b"".join([client.hear() for client in clients])
    node.replica.on_half_applied(False)
    node.clock.advance(0)
    assert [client.hear()[-7:] for client in clients] == [b"$1\r\n1\r\n", b"$1\r\n1\r\n", b"$1\r\n2\r\n"]


LEAVES = st.one_of(
    st.binary(max_size=5),
    st.integers(-5, 5),
    st.none(),
    st.booleans(),
    st.floats(),
    st.just(NULL_ARRAY),
    st.just(Error(b"ERR no")),
    st.just(Status(b"OK")),
    st.just(Verbatim(b"text")),
    st.just(b"x" * (1 << 19)),
    st.just([7] * (2 * MANY + 3)),
)
REPLIES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.lists(inner, max_size=4).map(Set),
        st.lists(inner, max_size=2).map(lambda items: Pairs(2 * items)),
        st.dictionaries(st.binary(max_size=2), inner, max_size=3),
    ),
    max_leaves=8,
)


@given(REPLIES, st.booleans())
def test_pieces_are_the_reply(reply: Any, resp3: bool) -> None:
    pieces = list(encode_in_pieces(reply, resp3))
    assert b"".join(pieces) == encode(reply, resp3)


@pytest.mark.parametrize("name", ["KEYS", "SCAN"])
def test_keys_and_scan_take_turns(node: Node, monkeypatch: Any, name: str) -> None:
    looks, turns = 0, []
    match = glob.Pattern.match

    def slow(pattern: Any, text: bytes) -> bool:
        nonlocal looks
        looks += 1
        node.clock.rightNow += SLICE_SECONDS / 1000
        return match(pattern, text)

    monkeypatch.setattr(glob.Pattern, "match", slow)
    reactor = NextTurn()
    node.state.turns = Turns(reactor, StallMeter())
    node.state.slowlog.threshold = int(SLICE_SECONDS * 1e6 * KEYS / 1000 - 1)
    client = node.client()
    request = {
        "KEYS": pack((b"KEYS", b"*1*9*")),
        "SCAN": pack((b"SCAN", b"0", b"COUNT", b"1000000", b"MATCH", b"*1*9*")),
    }[name]
    client.send(request)
    heard = b""
    while client.session.unanswered:
        before = looks
        reactor.turn()
        turns.append(looks - before)
        heard += client.wire.value()
        client.wire.clear()
    assert looks == KEYS
    assert max(turns) <= 1000 + 2 * steps.STEP
    expected = sorted(b"key:%d" % i for i in range(KEYS) if "9" in str(i)[str(i).find("1") :] and "1" in str(i))
    [reply] = parse(heard)
    assert sorted(reply if name == "KEYS" else reply[1]) == expected
    [entry] = node.state.slowlog.newest(10)
    assert entry.arguments[0] == name.encode()  # by the time of all its turns


COSTLY = [pack((b"KEYS", b"x%d" % i)) for i in range(900)]


@pytest.mark.parametrize("write", [[pack((b"SET", b"a", b"b"))], []], ids=["with a write", "of reads"])
def test_a_transaction_whose_reads_cost_too_much_is_never_appended(node: Node, write: list[bytes]) -> None:
    client = node.client()
    reply = parse(client.say(exec_of([*write, *COSTLY])))[-1]
    assert error(reply).startswith("ERR the transaction's reads would look at more than ")
    assert not [call for call in node.replica.calls if call[0] == "write"]
    assert client.call("GET", "a") is None
    assert client.call("PING") == b"PONG"


def test_on_a_follower_the_leader_weighs_it(node: Node) -> None:
    node.replica.is_leader = False
    reply = parse(node.client().say(exec_of([pack((b"SET", b"a", b"b")), *COSTLY])))[-1]
    assert error(reply) == "not leader"


def test_a_long_string_is_sent_in_pieces_and_never_joined(node: Node) -> None:
    client = node.client()
    value = bytes(range(256)) * 4096
    client.call("SET", "s", value)
    client.call("SETRANGE", "s", 0, "new")
    expected = b"new" + value[3:]
    assert client.call("GET", "s") == expected
    assert client.call("MGET", "s", "key:1", "s") == [expected, b"1", expected]
    assert client.pipeline(("GET", "s"), ("GET", "key:1"), ("GET", "s")) == [expected, b"1", expected]
    replies = parse(client.say(exec_of([pack((b"APPEND", b"s", b"!")), pack((b"GET", b"s"))])))
    assert replies[-1] == [len(expected) + 1, expected + b"!"]
    assert client.call("GETDEL", "s") == expected + b"!"


def test_what_a_later_step_refuses_is_the_reply() -> None:
    """It was a fault of the connection once, which was closed."""
    node = Node()
    node.replica.machine.level = 2
    client = node.client()
    client.pipeline(("RPUSH", "list", *range(3000), "no number"))
    client.send(pack((b"SORT_RO", b"list")))
    heard = b""
    for _ in range(1000):
        heard += client.hear()
        if heard:
            break
        node.clock.advance(0.001)
    assert heard == b"-ERR One or more scores can't be converted into double\r\n"
    assert not client.is_closed
