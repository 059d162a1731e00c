"""The machine: entries in, replies out; time; what it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leto.errors import UnknownEntry
from leto.keyspace import batch, machine
from leto.keyspace.execution import FAULT
from leto.raft.messages import Entry, EntryKind
from leto.vocabulary.replies import NULL_ARRAY, OK, Error
from tests.keyspace.batches import NOW, Bench, entry, pack

HEAD = b"*3\r\n$3\r\nSET\r\n"


def whole(count: int, requests: bytes) -> bytes:
    """The requests framed as they are, whatever the shorter form would be."""
    return batch.HEADER.pack(batch.REQUESTS, NOW, count) + requests


def test_the_kind_of_a_command_entry_is_the_logs():
    assert machine.COMMAND == EntryKind.COMMAND


def test_a_batch_answers_each_request_in_order():
    bench = Bench()
    assert bench.batch("SET a 1", "get a", "Incr a", "GET b", "DEL a b") == [OK, b"1", 2, None, 1]
    assert bench.machine.applied == 1
    assert bench.machine.time_ms == NOW


def test_other_kinds_of_entries_only_move_the_index():
    bench = Bench()
    assert bench.machine.apply(Entry(1, 1, EntryKind.NOOP)).replies == []
    assert bench.machine.apply(Entry(2, 1, EntryKind.CONFIGURATION, b"anything")).replies == []
    assert (bench.machine.applied, bench.machine.time_ms) == (2, 0)


def test_an_entry_is_never_applied_twice():
    bench = Bench()
    bench.write("INCR a")
    with pytest.raises(ValueError, match="entry 1 was applied already"):
        bench.machine.apply(entry(1, "INCR a"))
    assert bench.read("GET a") == b"1"


NO_BATCHES = [
    b"",
    b"\x01" + bytes(11),
    b"\x03" + whole(1, pack("SET a b"))[1:],
    b"\x02" + whole(1, pack("SET a b"))[1:],
    b"\x02" + whole(2, b"$1\r\na\r\n$1\r\nb\r\n")[1:],
    b"\x02" + whole(1, b"$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n")[1:],
    b"\x02" + whole(1, b"$1\r\na\r\n$1\r\nb\r")[1:],
    b"\x02" + whole(1, b"$1\r\na\r\n$-1\r\n")[1:],
    b"\x02" + whole(1, b"$1\r\na\r\n:1\r\n")[1:],
    b"\x02" + whole(0, b"")[1:],
    batch.encode(NOW, 2, pack("SET a b")),
    batch.encode(NOW, 1, pack("SET a b", "SET a c")),
    whole(1, pack("SET a b")[:-3]),
    batch.encode(NOW, 1, pack("SET a b")[:-3]),
    batch.encode(NOW, 1, pack("SET a b") + b"*1\r\n"),
    batch.encode(NOW, 1, b"nonsense\r\n"),
    batch.encode(NOW, 1, b"\x00"),
    batch.encode(NOW, 1, b"*0\r\n"),
    batch.encode(NOW, 1, pack("MULTI", "SET a b")),
    batch.encode(NOW, 2, pack("MULTI", "SET a b", "EXEC")),
    batch.encode(NOW, 1, pack("MULTI 1", "SET a b", "EXEC")),
    batch.encode(NOW, 1, pack("MULTI x a", "SET a b", "EXEC")),
    batch.encode(NOW, 1, pack("MULTI " + "9" * 5000 + " a", "SET a b", "EXEC")),
    batch.encode(NOW, 3, pack("MULTI", "SET a b", "EXEC")),
    batch.encode(NOW, 1, b"*2\r\n$3\r\nGET\r\n:1\r\n"),
    batch.encode(NOW, 1, b"*2\r\n$3\r\nGET\r\n$-1\r\n"),
    batch.encode(NOW, 1, b"*2\r\n$3\r\nGET\r\n*1\r\n$1\r\na\r\n"),
    batch.encode(NOW, 1, b"*1\r\n%1\r\n*0\r\n:1\r\n"),
    batch.encode(NOW, 2, pack("SET a b") + b":1\r\n"),
    batch.encode(NOW, 2, pack("SET a b") + b"*-1\r\n"),
    batch.encode(NOW, 2, pack("SET a b") + b"-ERR x\r\n"),
    batch.encode(NOW, 1, b"*2147483647\r\n$3\r\nGET\r\n"),
    batch.encode(NOW, 2, pack("SET a b") + b"*2147483647\r\n"),
    batch.encode(NOW, (1 << 32) - 1, pack("SET a b")),
    b"\x02" + whole((1 << 32) - 1, b"$1\r\na\r\n$1\r\nb\r\n")[1:],
    b"\x02" + whole(1, b"$1\r\na\r\n*2147483647\r\n")[1:],
    batch.encode((1 << 64) - 1, 1, pack("SET a b")),
]


@pytest.mark.parametrize("payload", NO_BATCHES)
def test_a_payload_that_is_no_batch_is_refused_and_changes_nothing(payload):
    bench = Bench()
    bench.write("SET k v")
    before = bench.machine.digest()
    with pytest.raises(ValueError, match="batch"):
        bench.machine.apply(Entry(2, 1, EntryKind.COMMAND, payload))
    assert bench.machine.digest() == before
    assert bench.read("GET a") is None


def test_what_such_a_payload_left_is_not_read_with_the_next():
    bench = Bench()
    for number, payload in enumerate(NO_BATCHES):
        with pytest.raises(ValueError, match="batch"):
            bench.machine.apply(Entry(bench.machine.applied + 1, 1, EntryKind.COMMAND, payload))
        assert bench.packed(pack("INCR n")) == [3 * number + 1]
        assert bench.packed(pack("INCR n", "INCR n"), 2) == [3 * number + 2, 3 * number + 3]
        assert bench.packed(pack("SET a 1")) == [OK]
        assert bench.packed(pack("MULTI", "GET n", "GET a", "EXEC")) == [[b"%d" % (3 * number + 3), b"1"]]


@pytest.mark.parametrize("text", [b"*1234567890", b"%9999999\r\n"])
def test_a_value_that_looks_like_the_head_of_a_large_array_is_a_value(text):
    bench = Bench()
    assert bench.packed(pack(("SET", b"a", text)) + pack(("APPEND", b"b", text)), 2) == [OK, len(text)]
    assert bench.machine.apply(Entry(2, 1, EntryKind.COMMAND, batch.encode(NOW, 1, pack(("SET", b"c", text)))))
    assert [bench.read("GET", key) for key in "abc"] == [text] * 3


@pytest.mark.parametrize("request_", ["NOSUCH 1 2", "OBJECT NOSUCH a"])
@pytest.mark.parametrize("in_transaction", [False, True])
def test_a_command_of_a_later_version_is_not_passed_over(request_, in_transaction):
    bench = Bench()
    before = bench.machine.digest()
    with pytest.raises(UnknownEntry, match="does not know the command '(OBJECT )?NOSUCH'"):
        bench.batch("SET k v", [b"", "SET a b", request_] if in_transaction else request_)
    assert bench.machine.digest() == before
    with pytest.raises(UnknownEntry, match="batch format 3 is unknown"):
        bench.machine.apply(Entry(1, 1, EntryKind.COMMAND, b"\x03" + whole(1, pack("SET a b"))[1:]))
    assert bench.machine.applied == 0


def test_a_fault_of_a_command_is_its_answer_and_no_end(monkeypatch):
    """Every node would meet it, and again at each restart."""
    bench = Bench()
    told = []
    bench.machine.on_fault = lambda name, error: told.append((name, str(error)))
    function = machine.KEYSPACE[b"INCR"].function

    def faulty(db, argv):
        if argv[1] == b"bad":
            raise OverflowError("too large")
        return function(db, argv)

    for name in (b"INCR", b"incr"):
        monkeypatch.setitem(bench.machine._applies, name, (faulty, 2, 2))
    assert bench.batch("INCR a", "INCR bad", [b"", "incr bad", "INCR a"]) == [1, FAULT, [FAULT, 2]]
    assert told == [(b"INCR", "too large"), (b"incr", "too large")]
    assert bench.batch("INCR a") == [3]


@pytest.mark.parametrize("error", [MemoryError, RecursionError])
def test_what_another_node_may_have_more_of_is_no_answer(monkeypatch, error):
    bench = Bench()

    def short(db, argv):
        raise error

    monkeypatch.setitem(bench.machine._applies, b"INCR", (short, 2, 2))
    with pytest.raises(error):
        bench.write("INCR a")


def test_log_time_never_goes_back():
    bench = Bench()
    bench.write("SET a 1 PX 1000")
    bench.wait(-500_000)
    bench.write("SET b 1 PX 1000")
    assert bench.machine.time_ms == NOW
    assert bench.machine.query([b"PTTL", b"b"], 0) == 1000


def test_a_read_judges_expiry_by_the_later_of_log_time_and_clock():
    bench = Bench()
    bench.write("SET a 1 PX 1000")
    assert bench.machine.query([b"GET", b"a"], NOW + 1000) == b"1"
    assert bench.machine.query([b"GET", b"a"], NOW + 1001) is None
    assert bench.machine.query([b"GET", b"a"], 0) == b"1"


def test_a_write_asked_as_a_read_is_refused():
    bench = Bench()
    assert isinstance(bench.read("SET a b"), Error)
    assert bench.read("GET a") is None


def test_the_internal_command_is_unknown_to_reads():
    assert Bench().read("EXPIRED a").text.startswith(b"ERR unknown command 'EXPIRED'")


def test_errors_inside_a_transaction_are_replies():
    bench = Bench()
    [reply] = bench.batch([b"", b"SET a x", b"INCR a", b"GET", b"OBJECT", b"GET a"])
    assert reply == [
        OK,
        Error(b"ERR value is not an integer or out of range"),
        Error(b"ERR wrong number of arguments for 'get' command"),
        Error(b"ERR wrong number of arguments for 'object' command"),
        b"x",
    ]


def test_transactions_and_plain_requests_share_a_batch():
    bench = Bench()
    assert bench.batch("SET a 1", [b"", "INCR a", "INCR a"], "GET a", [b""], [b"", "DEL a"]) == [
        OK,
        [2, 3],
        b"3",
        [],
        [1],
    ]


def test_an_aborted_transaction_does_nothing():
    bench = Bench()
    bench.write("SET a 1")
    assert bench.batch([b"0 a", "SET a 2", "SET b 2"]) == [NULL_ARRAY]
    assert bench.read("MGET a b") == [b"1", None]


def test_a_transaction_of_reads_sees_one_instant_and_watches():
    bench = Bench()
    bench.write("MSET a 1 b 2")
    run = bench.machine.query_transaction
    assert run([[b"GET", b"a"], [b"GET", b"b"], [b"GET"]], {b"a": 1}, NOW)[:2] == [b"1", b"2"]
    assert run([[b"GET", b"a"]], {b"a": 0}, NOW) == NULL_ARRAY


commands = st.lists(st.lists(st.binary(max_size=6), min_size=1, max_size=4), max_size=4)


@settings(max_examples=300, deadline=None)
@given(commands, st.binary(max_size=4))
def test_large_batches_are_taken_apart_as_small_ones_are(requests, behind):
    """A walk in place of hiredis: it must find the very same arguments, and know what it does not understand."""
    payload = batch.encode(NOW, len(requests), b"".join(map(pack, map(tuple, requests))))
    assert batch.split(payload) == requests
    found = batch.split(payload + behind)
    assert found is None or (not behind and found == requests)


@pytest.mark.parametrize(
    "junk",
    [
        b"*1\r\n:1\r\n",
        b"*0\r\n",
        b"*-1\r\n",
        b"+OK\r\n",
        b"*1\r\n$3\r\nab\r\n",
        b"*1\r\n$-1\r\n",
        b"*1",
        b"*2\r\n$1\r\na\r\n",
    ],
)
def test_what_is_no_array_of_strings_is_not_taken_apart(junk):
    assert batch.split(batch.encode(NOW, 1, junk)) is None


def test_a_large_batch_is_applied_like_a_small_one(monkeypatch):
    requests = [
        pack((b"SET", b"a", b"x" * (1 << 20))),
        pack((b"MULTI", b"0", b"a")) + pack((b"APPEND", b"a", b"y")) + pack((b"EXEC",)),
        pack((b"STRLEN", b"a")),
    ]
    replies = []
    for limit in (batch.LARGE, 1 << 40):
        monkeypatch.setattr(batch, "LARGE", limit)
        one = machine.Machine(random=lambda: 0.5)
        payload = batch.encode(NOW, 3, b"".join(requests))
        replies.append((one.apply(Entry(1, 1, EntryKind.COMMAND, payload)).replies, one.digest()))
        with pytest.raises(ValueError, match="whole requests"):
            one.apply(Entry(2, 1, EntryKind.COMMAND, batch.encode(NOW, 4, b"".join(requests))))
    assert replies[0] == replies[1]
    assert replies[0][0] == [OK, NULL_ARRAY, 1 << 20]  # a was modified after index 0


names = st.sampled_from([b"SET", b"set"])
texts = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([*sorted(batch.SET_HEADS), b"*3", b"$3", b"SET", b"\r\n" + HEAD, b"*", b"\r\n$1\r\nx", b"v" * 200]),
)
keys = st.sampled_from([b"a", b"b", b"*3", HEAD])


@settings(max_examples=300, deadline=None)
@given(names, st.lists(st.tuples(keys, texts), min_size=1, max_size=6))
def test_sets_written_as_pairs_do_what_they_do_written_whole(name, pairs):
    """Whatever keys and values hold, also what a request begins with."""
    requests = b"".join(pack((name, key, value)) for key, value in pairs)
    found = []
    for payload in (whole(len(pairs), requests), batch.encode(NOW, len(pairs), requests)):
        one = machine.Machine(random=lambda: 0.5)
        one.apply(entry(1, "SET a before PX 5000"))
        replies = one.apply(Entry(2, 1, EntryKind.COMMAND, payload)).replies
        found.append((replies, one.digest(), [one.query((b"GET", key), NOW) for key, _ in pairs]))
    assert found[0] == found[1]
    assert found[0][0] == [OK] * len(pairs)


sets = st.tuples(st.just(b"SET"), keys, texts)
others = st.one_of(
    st.tuples(st.sampled_from([b"FLUSHALL", b"DBSIZE"])),
    st.tuples(st.sampled_from([b"DEL", b"INCR"]), keys),
    st.tuples(st.just(b"MSET"), keys, texts, keys, texts),
    st.tuples(st.just(b"SET"), keys, texts, st.just(b"NX")),
    st.just((b"MSET", b"*3", b"SET", b"*3", b"SET")),  # a value of two characters, and what follows it
)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.one_of(sets, others), min_size=1, max_size=6))
def test_what_is_not_all_sets_is_written_whole_whatever_it_holds(commands):
    """The form is told by the bytes alone: no value may make one request look like another."""
    requests, count = b"".join(map(pack, commands)), len(commands)
    payload = batch.encode(NOW, count, requests)
    if any(len(words) != 3 or words[0] != b"SET" for words in commands):
        assert payload == whole(count, requests)
    elif payload[0] == batch.PAIRS:
        assert payload[batch.HEADER.size :] == b"".join(pack(words)[len(HEAD) :] for words in commands)
    else:
        assert payload == whole(count, requests)


def test_a_transaction_of_sets_is_no_batch_of_sets():
    requests = pack("SET a b") + pack(("MULTI", b"0", b"*3", b"0", b"SET")) + pack("SET a b") + pack("EXEC")
    for count in (2, 3):
        assert batch.encode(NOW, count, requests) == whole(count, requests)


def test_sets_written_as_pairs_are_shorter_by_what_says_that_they_are_sets():
    for clients in (1, 10):
        requests = [pack(("SET", f"key:{number}", "v" * 64)) for number in range(clients)]
        payload = batch.encode(NOW, clients, b"".join(requests))
        assert payload[0] == batch.PAIRS
        assert len(payload) == len(whole(clients, b"".join(requests))) - clients * len(HEAD)
    requests[3] = pack(("SET", "key:3", "v*" * 20))  # stars that begin no line leave no doubt
    assert batch.encode(NOW, 10, b"".join(requests))[0] == batch.PAIRS
    for other in (HEAD, b"*1\r\n*2", b"v" * 41_000):  # where it is elsewhere too, or next to nothing, nothing is cut
        requests[3] = pack(("SET", "key:3", other))
        assert batch.encode(NOW, 10, b"".join(requests))[0] == batch.REQUESTS
