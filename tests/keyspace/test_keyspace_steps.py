"""What is long is done in steps: entries, and commands of many words."""

from __future__ import annotations

import pytest

from leto.keyspace import batch
from leto.keyspace.commands import lcs
from leto.keyspace.machine import Machine
from leto.vocabulary import glob
from leto.vocabulary.replies import OK
from leto.vocabulary.steps import LONG, STEP, exhaust, timed
from tests.keyspace.batches import Bench, entry, pack

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
        def counted(db, key, *rest, **named):
            self.looks += 1
            return method(db, key, *rest, **named)

        return counted

    def apply(self, made):
        """(replies, steps), each step checked for what it did."""
        steps, applied = 1, self.machine.begin(made)
        while applied is None:
            assert self.looks <= WORK
            assert not self.machine.is_whole
            self.looks = 0
            steps += 1
            applied = self.machine.go_on()
        assert self.looks <= WORK
        return applied.replies, steps


@pytest.fixture
def bench():
    bench = Bench(checked=False)
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
    at_once = whole.apply(made).replies
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
    applied = bench.machine.begin(entry(2, [b"", *[("SET", f"old:{i}", "new") for i in range(MANY)]]))
    while applied is None:
        chunks.append(writer.next_slice(1 << 12))
        applied = bench.machine.go_on()
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
    assert bench.machine.apply(entry(9, "GET a")).replies == [b"8"]


def test_short_entries_take_one_step():
    machine = Machine(random=lambda: 0.5)
    assert machine.begin(entry(1, "SET a 1", [b"", "INCR a", "GET a"], ("MGET", *["a"] * STEP))) is not None


def test_parsing_is_cut_into_steps_too():
    payload = pack(*[("INCR", f"key:{i}" * 2) for i in range(2 * MANY)])
    assert len(payload) > batch.LARGE
    steps = sum(1 for _ in batch.splitting(payload, 0))
    assert steps >= 4 * MANY // STEP - 1


class Steps:
    """A read, step by step: how many steps, and the most that `counted` rose in one."""

    def __init__(self, bench, *command, counted=lambda: 0):
        steps = bench.machine.begin_query([str(word).encode() for word in command], bench.now)
        self.most, self.count, done = 0, 0, False
        while not done:
            before = counted()
            done = steps.advance()
            self.most = max(self.most, counted() - before)
            self.count += 1
        self.reply = steps.reply


def test_keys_looks_at_some_keys_in_each_step(bench, monkeypatch):
    looks = 0
    match = glob.Pattern.match

    def counted(pattern, text):
        nonlocal looks
        looks += 1
        return match(pattern, text)

    monkeypatch.setattr(glob.Pattern, "match", counted)
    keys_ = Steps(bench, "KEYS", "old:[0-4]*9", counted=lambda: looks)
    expected = [b"old:%d" % i for i in range(MANY) if str(i)[0] in "01234" and i % 10 == 9]
    assert sorted(keys_.reply) == sorted(expected)
    assert looks == MANY
    assert keys_.most <= STEP
    scan = Steps(bench, "SCAN", 0, "COUNT", 10 * MANY, "MATCH", "*9*", counted=lambda: looks)
    assert scan.most <= 2 * STEP
    assert scan.count >= MANY // STEP
    assert scan.reply == [b"0", scan.reply[1]]
    assert sorted(scan.reply[1]) == sorted(b"old:%d" % i for i in range(MANY) if "9" in str(i))


def test_keys_of_long_keys_looks_at_some_bytes_in_each_step(bench):
    long = b"a" * (4 * glob.WINDOW)
    bench.batch(*[("SET", b"%d" % i + long, 1) for i in range(40)])
    found = Steps(bench, "KEYS", "?*[ab]*b*")
    assert found.reply == []
    assert found.count > 40 * 4


def test_a_scan_in_steps_returns_what_stays_whatever_comes_and_goes(bench):
    steps = bench.machine.begin_query([b"SCAN", b"0", b"COUNT", b"1000000"], bench.now)
    stays = {b"old:%d" % i for i in range(MANY) if i % 3}
    for number in range(0, MANY, 3):
        bench.batch(("DEL", f"old:{number}"), ("SET", f"new:{number}", 1))
        if number % 900 == 0:
            steps.advance()
    steps.finish()
    cursor, found = steps.reply
    assert cursor == b"0"
    assert stays <= set(found)
    assert len(set(found)) == len(found)


def test_what_a_walk_began_with_is_not_freed_before_its_end(bench):
    scan = bench.machine.begin_query([b"SCAN", b"0", b"COUNT", b"1000000"], bench.now)
    keys_ = bench.machine.begin_query([b"KEYS", b"old:*"], bench.now)
    assert not scan.advance() and not keys_.advance()
    bench.write("FLUSHALL")
    assert bench.machine.has_waste
    assert bench.machine.free_waste(100) is False
    assert len(keys_.finish()) == MANY
    assert bench.machine.free_waste(100) is False
    scan.close()
    assert bench.machine.free_waste(100) is True


def test_randomkey_among_expired_ones_takes_steps():
    bench = Bench()
    bench.batch(*[("SET", f"old:{i}", i, "PX", 1) for i in range(MANY)], "SET a b")
    bench.wait(10)
    found = Steps(bench, "RANDOMKEY")
    assert found.reply in (b"a", None)
    bench.write("DEL a")
    found = Steps(bench, "RANDOMKEY")
    assert found.reply is None
    assert found.count >= MANY // STEP // 2


def test_lcs_takes_steps_of_bounded_work():
    bench = Bench()
    bench.batch(("SET", "a", "ab" * 8000), ("SET", "b", "ba" * 8000))
    whole = bench.read("LCS a b")
    rows = Steps(bench, "LCS", "a", "b", "LEN")
    assert rows.reply == len(whole)
    assert rows.count >= 16_000 * 16_000 // lcs.STEP_CELLS
    assert Steps(bench, "LCS", "a", "b").reply == whole
    assert Steps(bench, "LCS", "a", "b").count >= rows.count + 3


COSTLY = [
    [("KEYS", "*")] * 800,
    [("SCAN", 0, "COUNT", 10_000_000)] * 800,
    [("SCAN", 0, "count", MANY, "MATCH", "x")] * 800,
    [("lcs", "long", "long")] * 50,
    [("GETRANGE", "long", 0, -1)] * 50_000,
    [("RANDOMKEY",)] * 70_000,
    [("KEYS", "x")] * 400 + [("LCS", "long", "long")] * 30,
]
CHEAP = [
    [("KEYS", "*")] * 100,
    [("SCAN", 0, "COUNT", 10)] * 5000,
    [("SCAN", 0, "COUNT")],
    [("SCAN", 0, "COUNT", "x")],
    [("LCS", "long", "none")] * 1000,
    [("GETRANGE", "long", 5, 10)] * 5000,
    [("GETRANGE", "long", "x", 10)],
    [("SUBSTR", "long", -1, -5)],
]


@pytest.mark.parametrize("reads", COSTLY + CHEAP, ids=lambda reads: " ".join(map(str, reads[0])))
def test_what_a_transactions_reads_cost_is_bounded(bench, reads):
    bench.write("SET", "long", "x" * 10_000)
    why = bench.machine.why_refused([[str(word).encode() for word in read] for read in reads])
    assert bool(why) is (reads in COSTLY)
    assert not why or "nothing of it was done" in why


def test_reads_of_many_keys_outside_of_a_transaction_are_not_weighed(bench):
    assert len(bench.read("KEYS *")) == MANY


def test_what_is_done_between_two_steps_is_not_timed():
    now = [0.0]

    def work():
        for _ in range(3):
            now[0] += 1.0
            yield
        now[0] += 0.5
        return "done"

    def others():
        for _ in range(3):
            now[0] += 100.0
            yield

    between = others()
    steps = timed(work(), lambda: now[0])
    for _ in range(3):
        next(steps)
        next(between)
    assert exhaust(steps) == ("done", 3.5)


def test_each_command_of_a_transaction_is_timed_whatever_steps_it_takes(bench):
    ticks = iter(range(1_000_000))
    bench.machine.seconds = lambda: float(next(ticks))
    sets = [f"SET n{number} v" for number in range(3)]
    many = ["MSET", *["k", "v"] * 2 * LONG]
    replies = bench.machine.apply(entry(bench.machine.applied + 1, "SET a 1", ["", *sets, "DBSIZE", many])).replies
    assert len(replies) == 2
    ((place, times),) = bench.machine.took.items()
    assert place == 1
    assert len(times) == 5
    assert times[:3] == pytest.approx([1 / 3] * 3)
    assert times[3] == 1.0
    assert times[4] > 2.0, "several steps"
