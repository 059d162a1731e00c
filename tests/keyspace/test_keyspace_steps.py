"""What is long is done in steps: entries, and commands of many words."""

from __future__ import annotations

import pytest
from batches import Bench, entry, pack

from leto.keyspace import batch
from leto.keyspace.machine import Machine
from leto.keyspace.replies import OK
from leto.keyspace.steps import LONG, STEP

MANY = 6_000
WORK = 3 * LONG  # keys that one step may touch at most


class Counted:
    """How many records are looked up, or stored, in each step."""

    def __init__(self, monkeypatch, machine):
        self.machine = machine
        self.looks = 0
        database = type(machine.database)
        for name in ("find", "touch", "store", "delete"):
            monkeypatch.setattr(database, name, self.counting(getattr(database, name)))
        strings = database.store_strings

        def store_strings(db, pairs):
            self.looks += len(pairs) // 2
            strings(db, pairs)

        monkeypatch.setattr(database, "store_strings", store_strings)

    def counting(self, method):
        def counted(db, key, *rest):
            self.looks += 1
            return method(db, key, *rest)

        return counted

    def apply(self, made):
        """(replies, steps), each step checked for what it did."""
        steps, replies = 1, self.machine.begin(made)
        while replies is None:
            assert self.looks <= WORK
            assert not self.machine.is_whole
            self.looks = 0
            steps += 1
            replies = self.machine.go_on()
        assert self.looks <= WORK
        return replies, steps


@pytest.fixture
def bench():
    bench = Bench()
    bench.batch(*[("SET", f"old:{i}", i) for i in range(MANY)])
    return bench


def keys(count, name="k"):
    return [f"{name}:{i}" for i in range(count)]


LONG_ONES = [
    ("a transaction", [b"", *[("INCR", key) for key in keys(MANY)]], [list([1] * MANY)]),
    ("one of SETs", [b"", *[("SET", key, 1) for key in keys(MANY)]], [list([OK] * MANY)]),
    ("MSET", ("MSET", *[word for key in keys(MANY) for word in (key, "v")]), [OK]),
    ("MSETNX", ("MSETNX", *[word for key in keys(MANY) for word in (key, "v")]), [1]),
    ("MSETNX of one that is there", ("MSETNX", *[w for key in keys(MANY, "old")[::-1] for w in (key, "v")]), [0]),
    ("DEL", ("DEL", *keys(MANY + 5, "old")), [MANY]),
    ("UNLINK", ("unlink", *keys(MANY + 5, "old")), [MANY]),
    ("EXISTS", [b"", ("SET", "a", "b"), ("EXISTS", *keys(MANY + 5, "old"))], [[OK, MANY]]),
    ("TOUCH", [b"", ("SET", "a", "b"), ("touch", *keys(MANY + 5, "old"))], [[OK, MANY]]),
    (
        "MGET",
        [b"", ("SET", "a", "b"), ("MGET", *keys(MANY + 1, "old"))],
        [[OK, [*[b"%d" % i for i in range(MANY)], None]]],
    ),
]


@pytest.mark.parametrize(("request_", "expected"), [one[1:] for one in LONG_ONES], ids=[one[0] for one in LONG_ONES])
def test_a_long_request_is_applied_in_steps_with_the_same_outcome(monkeypatch, bench, request_, expected):
    whole = Bench().machine
    whole.restore(snapshot(bench.machine), bench.machine.applied)
    made = entry(2, request_)
    at_once = whole.apply(made)
    counted = Counted(monkeypatch, bench.machine)
    replies, steps = counted.apply(made)
    assert replies == at_once == expected
    assert steps >= MANY // WORK or "MSETNX" in str(request_[0]) and expected == [0]
    assert bench.machine.digest() == whole.digest()
    assert bench.machine.is_whole


def snapshot(machine):
    writer = machine.snapshot()
    chunks = []
    while chunk := writer.next_slice(1 << 20):
        chunks.append(chunk)
    return chunks


def half_applied(bench):
    """In the middle of a transaction that has changed something."""
    request = [b"", *[("SET", f"old:{i}", "new") for i in range(MANY)]]
    assert bench.machine.begin(entry(2, request)) is None
    while bench.read("GET old:0") != b"new":
        assert bench.machine.go_on() is None
    assert bench.read("GET", f"old:{MANY - 1}") == b"%d" % (MANY - 1)


def test_half_an_entry_is_told_as_the_index_before_it(bench):
    before = bench.machine.digest()
    half_applied(bench)
    assert not bench.machine.is_whole
    assert bench.machine.applied == 1
    assert bench.machine.digest() == before
    with pytest.raises(RuntimeError, match="half an entry"):
        bench.machine.snapshot()
    with pytest.raises(ValueError, match="entry 3 was applied already"):
        bench.machine.begin(entry(3, "SET a b"))
    while bench.machine.go_on() is None:
        pass
    assert bench.machine.applied == 2
    assert bench.machine.digest() != before
    assert bench.read("GET", f"old:{MANY - 1}") == b"new"


def test_queries_in_between_change_nothing_of_what_the_entry_does(bench):
    """The node's own look at the keys, say: its clock must not become the log's."""
    request = [b"", *[("SET", f"old:{i}", "new", "PX", 1000) for i in range(MANY)]]
    assert bench.machine.begin(entry(2, request)) is None
    while bench.machine.query((b"DBSIZE",), bench.now + 5_000_000) and bench.machine.go_on() is None:
        pass
    other = Bench()
    other.batch(*[("SET", f"old:{i}", i) for i in range(MANY)])
    other.machine.apply(entry(2, request))
    assert bench.machine.digest() == other.machine.digest()


def test_a_snapshot_goes_on_beside_an_entry_in_steps(bench):
    writer = bench.machine.snapshot()
    chunks = [writer.next_slice(1)]
    replies = bench.machine.begin(entry(2, [b"", *[("SET", f"old:{i}", "new") for i in range(MANY)]]))
    while replies is None:
        chunks.append(writer.next_slice(1 << 12))
        replies = bench.machine.go_on()
    while chunk := writer.next_slice(1 << 16):
        chunks.append(chunk)
    other = Bench()
    other.machine.restore(chunks, 1)
    assert other.read("GET old:7") == b"7"
    assert bench.read("GET old:7") == b"new"


def test_a_restored_state_ends_the_entry_under_way(bench):
    other = Bench()
    other.batch("SET a 1")
    for index in range(2, 9):
        other.batch(("SET", "a", index))
    half_applied(bench)
    bench.machine.restore(snapshot(other.machine), 8)
    assert bench.machine.is_whole
    assert bench.machine.digest() == other.machine.digest()
    assert bench.machine.apply(entry(9, "GET a")) == [b"8"]


def test_short_entries_take_one_step():
    machine = Machine(random=lambda: 0.5)
    assert machine.begin(entry(1, "SET a 1", [b"", "INCR a", "GET a"], ("MGET", *["a"] * STEP))) is not None


def test_parsing_is_cut_into_steps_too():
    payload = pack(*[("INCR", f"key:{i}" * 2) for i in range(2 * MANY)])
    assert len(payload) > batch.LARGE
    steps = sum(1 for _ in batch.splitting(payload, 0))
    assert steps >= 4 * MANY // STEP - 1
