"""The log's tail over the disk, and what the asynchronous disk makes durable: against a plain model."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from leto.errors import Compacted, Unavailable
from leto.raft.log import ENTRY_OVERHEAD, Log
from leto.raft.messages import Entry
from leto.raft.persistence import Writes


class Stored:
    """LogReader over a list."""

    def __init__(self, entries=(), first_index=1, before_term=0):
        self.stored = list(entries)
        self.first_index = first_index
        self.before_term = before_term

    @property
    def last_index(self):
        return self.first_index + len(self.stored) - 1

    def term(self, index):
        if index == 0:
            return 0
        if index < self.first_index:
            if index == self.first_index - 1:
                return self.before_term
            raise Compacted(str(index))
        if index > self.last_index:
            raise Unavailable(str(index))
        return self.stored[index - self.first_index].term

    def entries(self, low, high, max_bytes):
        if low < self.first_index:
            raise Compacted(str(low))
        result, size = [], 0
        for entry in self.stored[low - self.first_index : high - self.first_index]:
            size += len(entry.payload)
            if result and size > max_bytes:
                break
            result.append(entry)
        return result

    def configurations(self):
        return []

    def write(self, entries):
        if entries:
            assert self.first_index <= entries[0].index <= self.last_index + 1
            assert [e.index for e in entries] == list(range(entries[0].index, entries[-1].index + 1))
            del self.stored[entries[0].index - self.first_index :]
            self.stored.extend(entries)

    def install(self, index, term):
        if self.first_index <= index <= self.last_index and self.term(index) == term:
            del self.stored[: index + 1 - self.first_index]
        else:
            self.stored = []
        self.first_index, self.before_term = index + 1, term

    def compact(self, index):
        self.before_term = self.term(index)
        del self.stored[: index + 1 - self.first_index]
        self.first_index = index + 1


def entries(*terms, start=1, size=1):
    return [Entry(start + n, term, 1, b"x" * size) for n, term in enumerate(terms)]


def log_of(*terms, cache=1 << 20):
    stored = Stored(entries(*terms))
    return Log(stored, 0, 0, cache), stored


class AsynchronousDisk(RuleBasedStateMachine):
    """Appends, truncations, snapshots and compactions, while any number of writes are under way. Whatever the log says
    is persisted must be on the disk now, and stay there through every write already under way."""

    def __init__(self):
        super().__init__()
        self.stored = Stored()
        self.log = Log(self.stored, 0, 0, 2 * ENTRY_OVERHEAD)
        self.writes = Writes()
        self.model = []  # (index, term) of the whole log from first_index on
        self.term = 1
        self.commit = 0
        self.number = 0
        self.jobs = []  # (number, snapshot, entries)
        self.pending = None
        self.agreed = None  # while the snapshot that dropped the whole log is not installed: what of it may be claimed
        self.dropped = 0  # that snapshot's index

    @rule(count=st.integers(1, 3), data=st.data())
    def append(self, count, data):
        self.replicate(count, data.draw(st.integers(max(1, self.log.last_term), self.log.last_term + 2)))

    def replicate(self, count, term):
        self.term = max(self.term, term)
        for _ in range(count):
            entry = Entry(self.log.last_index + 1, term, 1, b"%d" % term)
            self.log.append(entry)
            self.model.append((entry.index, entry.term))

    @precondition(lambda self: self.log.last_index > self.commit)
    @rule(data=st.data())
    def truncate(self, data):
        index = data.draw(st.integers(self.commit + 1, self.log.last_index))
        self.log.truncate(index)
        self.writes.truncate(index)
        cut = [term for at, term in self.model if at == index]
        self.model = [item for item in self.model if item[0] < index]
        # What was cut may come back later, with the same index and term, while its first write is still under way.
        self.replicate(1, data.draw(st.sampled_from([self.log.last_term or 1, self.term + 1, *cut])))

    @rule()
    def hand_out(self):
        fresh = self.log.take_unwritten()
        assert not fresh or fresh[-1].index == self.log.last_index
        snapshot, self.pending = self.pending, None
        if fresh or snapshot:
            self.number += 1
            self.writes.add(self.number, self.log.handed, None, snapshot)
            self.jobs.append((self.number, snapshot, fresh))

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def disk_works(self, data):
        """Some of the jobs are done; only later does the core hear of it."""
        for _ in range(data.draw(st.integers(1, len(self.jobs)))):
            number, snapshot, fresh = self.jobs.pop(0)
            if snapshot:
                self.stored.install(*snapshot)
            self.stored.write(fresh)
            last = number
        if self.stored.first_index > self.dropped:
            self.agreed = None
        for write in self.writes.finished(last):
            self.log.persisted = max(self.log.persisted, write.last_index)
        self.log.evict(self.commit)

    @rule(data=st.data())
    def commit_some(self, data):
        self.commit = data.draw(st.integers(self.commit, max(self.commit, self.log.persisted)))
        self.log.evict(self.commit)

    @rule(data=st.data(), matching=st.booleans())
    def restore(self, data, matching):
        index = data.draw(st.integers(self.commit + 1, max(self.commit + 1, self.log.last_index + (not matching) * 3)))
        known = dict(self.model).get(index)
        if matching and known is not None:
            term = known
        else:
            self.term += 1
            term = self.term
        agreed = self.commit
        if self.log.restore(index, term, agreed):
            assert known == term
            self.model = [item for item in self.model if item[0] > index]
        else:
            self.writes.truncate(agreed + 1)
            self.model = []
            self.agreed, self.dropped = agreed, index
        self.commit = index
        self.pending = (index, term)

    @precondition(lambda self: not self.jobs and self.pending is None and self.log.first_index <= self.commit)
    @rule(data=st.data())
    def compact(self, data):
        index = data.draw(st.integers(self.log.first_index, min(self.commit, self.log.persisted)))
        self.stored.compact(index)
        self.log.compacted(index + 1, index, self.stored.before_term)
        self.model = [item for item in self.model if item[0] > index]

    @invariant()
    def reads_what_the_model_holds(self):
        log = self.log
        assert log.last_index == (self.model[-1][0] if self.model else log.first_index - 1)
        for index, term in self.model:
            assert log.term(index) == term
        assert log.last_term == log.term(log.last_index)
        if self.model:
            first = self.model[0][0]
            assert first == log.first_index
            seen = []
            while first <= log.last_index:
                part = log.slice(first, log.last_index + 1, 10)
                assert part
                seen.extend((e.index, e.term) for e in part)
                first = part[-1].index + 1
            assert seen == self.model
        with pytest.raises(Unavailable):
            log.term(log.last_index + 1)
        if log.first_index > 1:
            with pytest.raises(Compacted):
                log.slice(log.first_index - 1, log.first_index, 10)

    @invariant()
    def what_is_persisted_is_on_the_disk_and_stays_there(self):
        """Play on the jobs under way: no prefix of them may take away what is said to be durable."""
        held = [item for item in self.model if item[0] <= self.log.persisted]
        disk = Stored(self.stored.stored, self.stored.first_index, self.stored.before_term)
        for job in [None, *self.jobs]:
            if job is not None:
                _, snapshot, fresh = job
                if snapshot:
                    disk.install(*snapshot)
                disk.write(fresh)
            for index, term in held:
                assert index < disk.first_index or disk.term(index) == term
        assert self.log.persisted <= self.log.handed <= self.log.last_index
        assert self.agreed is None or self.log.persisted <= self.agreed


TestAsynchronousDisk = AsynchronousDisk.TestCase
TestAsynchronousDisk.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)


def test_a_log_opens_behind_what_the_disk_holds():
    log, _ = log_of(1, 1, 2)
    assert (log.first_index, log.last_index, log.last_term, log.persisted, log.handed) == (1, 3, 2, 3, 3)
    assert [log.term(i) for i in range(4)] == [0, 1, 1, 2]


def test_a_log_opens_behind_a_snapshot_without_entries():
    log = Log(Stored([], first_index=8, before_term=3), 7, 3, 100)
    assert (log.first_index, log.last_index, log.last_term) == (8, 7, 3)
    with pytest.raises(Compacted):
        log.term(6)


def test_the_term_before_the_log_may_be_unknown():
    class Forgetful(Stored):
        def term(self, index):
            if index < self.first_index:
                raise Compacted(str(index))
            return super().term(index)

    log = Log(Forgetful(entries(3, 3, start=5), first_index=5), 6, 3, 100)
    assert log.term_or_none(4) is None and log.term(5) == 3


def test_entries_are_handed_out_once():
    log, _ = log_of(1)
    for entry in entries(2, 2, start=2):
        log.append(entry)
    assert [e.index for e in log.take_unwritten()] == [2, 3]
    assert log.take_unwritten() == [] and log.persisted == 1
    log.truncate(3)
    log.append(Entry(3, 4, 1, b""))
    assert [(e.index, e.term) for e in log.take_unwritten()] == [(3, 4)]


def test_truncation_into_the_durable_part_takes_it_back():
    log, stored = log_of(1, 1, 1, 1)
    log.truncate(3)
    assert (log.last_index, log.persisted, log.handed, stored.last_index) == (2, 2, 2, 4)
    with pytest.raises(Unavailable):
        log.term(3)
    log.append(Entry(3, 2, 1, b"new"))
    assert log.term(3) == 2 and [e.term for e in log.slice(1, 4, 100)] == [1, 1]  # the disk's part first


def test_a_slice_holds_at_least_one_entry_and_at_most_the_bytes_asked_for():
    log, _ = log_of()
    for entry in entries(1, 1, 1, size=10):
        log.append(entry)
    assert [len(log.slice(1, 4, size)) for size in (0, 9, 10, 20, 29, 30)] == [1, 1, 1, 2, 2, 3]
    assert [e.index for e in log.slice(2, 3, 0)] == [2]


def test_only_durable_entries_up_to_the_limit_are_evicted_and_are_then_read_from_disk():
    log, stored = log_of(cache=3 * (ENTRY_OVERHEAD + 10))
    for entry in entries(*[1] * 10, size=10):
        log.append(entry)
    log.evict(10)
    assert log.offset == 1  # nothing is durable
    stored.write(log.take_unwritten())
    log.persisted = 10
    log.evict(4)
    assert log.offset == 5
    log.evict(10)
    assert log.offset == 9  # one more than needed, so that the list is moved seldom
    assert [e.index for e in log.slice(1, 11, 1000)] == list(range(1, 9))


@pytest.mark.parametrize(
    ("term", "low", "high", "expected"),
    [(1, 1, 7, 2), (2, 1, 7, 2), (3, 1, 7, 5), (9, 1, 7, 7), (0, 1, 7, 0), (3, 4, 4, 4)],
)
def test_the_last_entry_of_a_term_is_found(term, low, high, expected):
    log, _ = log_of(1, 1, 3, 3, 3, 4, 4)
    assert log.last_index_at_most(term, low, high) == expected


def test_news_of_a_write_counts_only_for_what_was_not_truncated_since():
    writes = Writes()
    writes.add(1, 5, None, None)
    writes.add(2, 9, None, None)
    writes.truncate(4)
    writes.add(3, 6, None, None)
    assert [w.last_index for w in writes.finished(2)] == [3, 3]
    assert [w.last_index for w in writes.finished(9)] == [6] and len(writes) == 0
