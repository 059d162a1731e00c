"""When a snapshot is due, and how it is written."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from leto.errors import NoRoom, Stopping
from leto.keyspace.machine import Machine
from leto.raft.configuration import Configuration
from leto.raft.messages import SnapshotMeta
from leto.replica.compaction import FIRST_PAUSE, PIECE_BYTES, SLICE_BYTES, WRITE_BYTES, Compaction, staggered
from leto.storage.flush import InlineFlusher
from leto.twins.store import MemoryStore


def compaction(snapshot_bytes: int = 0) -> Compaction:
    return Compaction(
        Clock(),
        MemoryStore(),
        Machine(random=lambda: 0.0),
        InlineFlusher(),
        InlineFlusher(),
        begin=lambda: None,
        taken=lambda meta: None,
        compacted=lambda first: None,
        max_bytes=1000,
        max_entries=50,
        trailing_entries=0,
        snapshot_bytes=snapshot_bytes,
    )


def entries_until_due(found: Compaction, payload_bytes: int, start: int = 0) -> int:
    """How many entries of so many bytes it takes."""
    index = start + 1
    while not found.applied(index, payload_bytes):
        index += 1
        assert index < start + 10_000, "never due"
    return index - start


def test_a_snapshot_is_due_after_so_many_bytes_or_entries():
    assert entries_until_due(compaction(), 100) == 10
    assert entries_until_due(compaction(), 1) == 50


def test_a_snapshot_no_larger_than_the_log_that_it_replaces_changes_nothing():
    assert entries_until_due(compaction(1000), 100) == 10
    assert entries_until_due(compaction(1000), 1) == 50


def test_the_larger_the_newest_snapshot_the_later_the_next():
    assert entries_until_due(compaction(7500), 100) == 75
    assert entries_until_due(compaction(7500), 1) == 375


def test_an_installed_snapshot_counts_as_ones_own():
    found = compaction()
    found.installed(600, 3000, 1.0)
    assert entries_until_due(found, 100, start=600) == 30
    found.installed(700, 10, 0.5)
    assert entries_until_due(found, 100, start=700) == 5


@given(st.sets(st.text(min_size=1), min_size=1, max_size=9).map(sorted), st.data())
def test_each_member_has_a_time_of_its_own_in_the_period(members, data):
    times = [staggered(members, own, members[0]) for own in members]
    assert times[0] == 1.0 and all(0 < time <= 1 for time in times)
    gaps = [later - earlier for earlier, later in pairwise(sorted(times))]
    assert gaps == pytest.approx([1 / len(members)] * (len(members) - 1))
    own, leader = data.draw(st.sampled_from(members)), data.draw(st.sampled_from(members))
    due = times[members.index(leader)] + staggered(members, own, leader)
    assert due % 1 == pytest.approx(times[members.index(own)] % 1), "the same time, whoever brought the snapshot"


def test_one_that_is_no_member_takes_the_whole_period():
    assert staggered(("a", "b"), "c", "a") == staggered(("a", "b"), "b", "") == 1.0


def test_the_first_snapshot_comes_at_the_members_time():
    for own, due in (("a", 12), ("b", 8), ("c", 4)):
        found = compaction()
        found.members_are(("a", "b", "c"), own)
        assert entries_until_due(found, 84) == due
    found = compaction()
    found.installed(600, 10, 1.0)
    found.members_are(("a", "b", "c"), "c")
    assert entries_until_due(found, 100, start=600) == 10, "the members matter before the first only"


class Keyspace:
    """Gives these slices, each of which takes it `seconds`."""

    applied = 7
    key_count = 100
    is_whole = True

    def __init__(self, clock: Clock, slices: list[bytes], seconds: float) -> None:
        self._clock, self._slices, self._seconds = clock, slices, seconds
        self.given: list[tuple[float, float]] = []  # from when to when each was taken

    def snapshot(self) -> Keyspace:
        return self

    def next_slice(self, max_bytes: int) -> bytes:
        began = self._clock.seconds()
        self._clock.rightNow += self._seconds
        self.given.append((began, self._clock.seconds()))
        return self._slices.pop(0) if self._slices else b""

    def close(self) -> None:
        pass


class SlowDisk:
    """A flusher whose jobs run when told."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[], None], Deferred[None]]] = []

    def submit(self, job: Callable[[], None]) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self.jobs.append((job, done))
        return done

    def submit_brief(self, job: Callable[[], None]) -> Deferred[None]:
        return self.submit(job)

    def work(self) -> None:
        while self.jobs:
            job, done = self.jobs.pop(0)
            try:
                job()
            except Exception:  # noqa: BLE001 - whatever it is, as the flushers
                done.errback()
            else:
                done.callback(None)


class Files:
    """The store, and its one snapshot's sink."""

    snapshot = None
    first_index = 1

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.did: list[str] = []

    def create_snapshot(self, meta: SnapshotMeta) -> Files:
        return self

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def commit(self) -> None:
        self.did.append("commit")

    def abort(self) -> None:
        self.did.append("abort")

    def behind(self, index: int, max_bytes: int) -> int:
        return 0

    def compact(self, index: int) -> None:
        self.did.append(f"compact {index}")

    def free_compacted(self) -> None:
        self.did.append("free")


class Subject:
    """A Compaction at work."""

    def __init__(self, slices: list[bytes], slice_seconds: float = 0.001) -> None:
        self.clock, self.disk, self.files = Clock(), SlowDisk(), Files()
        self.keyspace = Keyspace(self.clock, list(slices), slice_seconds)
        self.compaction = Compaction(
            self.clock,
            cast("Any", self.files),
            cast("Any", self.keyspace),
            InlineFlusher(),
            cast("Any", self.disk),
            begin=lambda: SnapshotMeta(7, 1, Configuration()),
            taken=lambda meta: None,
            compacted=lambda first: None,
            max_bytes=1000,
            max_entries=50,
            trailing_entries=0,
        )
        self.done = self.compaction.take()

    def go_on(self) -> None:
        """Until it is over."""
        for _ in range(10_000):
            if self.done.called:
                return
            self.disk.work()
            self.clock.advance(0.0005)
        raise AssertionError("the snapshot is never over")


def test_all_slices_are_written_in_order_and_what_is_not_needed_any_more_is_freed_last():
    slices = [bytes([number]) * (SLICE_BYTES + number) for number in range(1, 20)]
    subject = Subject(slices)
    subject.go_on()
    assert subject.done.result == SnapshotMeta(7, 1, Configuration())
    assert b"".join(subject.files.written) == b"".join(slices)
    assert subject.files.did == ["commit", "compact 7", "free"]


def test_others_have_half_as_much_time_between_slices_as_each_took():
    subject = Subject([b"x" * SLICE_BYTES] * 10, slice_seconds=0.006)
    subject.go_on()
    given = subject.keyspace.given
    assert len(given) == 11
    assert all(later - ended >= 0.003 for (_, ended), (later, _) in pairwise(given))


def test_slices_are_taken_while_one_write_is_on_its_way_and_no_more():
    subject = Subject([b"x" * SLICE_BYTES] * 40)
    subject.disk.work()  # the snapshot's file is there
    for _ in range(1000):
        subject.clock.advance(0.001)
    assert len(subject.disk.jobs) == 1
    assert len(subject.keyspace.given) == 2 * WRITE_BYTES // SLICE_BYTES
    subject.go_on()
    assert len(b"".join(subject.files.written)) == 40 * SLICE_BYTES


def test_a_large_value_is_written_piece_by_piece():
    value = b"v" * (5 * PIECE_BYTES + 1)
    subject = Subject([b"small", value, b"small"])
    subject.go_on()
    assert b"".join(subject.files.written) == b"small" + value + b"small"
    assert max(map(len, subject.files.written)) == PIECE_BYTES


def test_a_snapshot_that_is_cancelled_leaves_nothing_behind():
    subject = Subject([b"x" * SLICE_BYTES] * 40)
    subject.disk.work()
    for _ in range(1000):
        subject.clock.advance(0.001)
    assert subject.disk.jobs, "a write is on its way"
    subject.compaction.cancel()
    kinds = kinds_of_failure(subject.done)
    subject.go_on()
    assert kinds == [Stopping]
    assert subject.files.did == ["abort"]
    assert not subject.compaction.in_progress


def kinds_of_failure(done: Deferred[Any]) -> list[type[BaseException] | None]:
    """Gets what it ends with, if that is a failure."""
    kinds: list[type[BaseException] | None] = []
    done.addErrback(lambda failure: kinds.append(failure.type))
    return kinds


def test_a_snapshot_that_finds_no_room_leaves_the_log_and_is_tried_again_after_longer_and_longer_pauses():
    subject = Subject([b"x" * SLICE_BYTES])
    subject.files.commit = raising_no_room  # type: ignore[method-assign]
    compaction, clock = subject.compaction, subject.clock
    assert not compaction.applied(8, 2000), "one is under way"
    for pause in (FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE):
        kinds = kinds_of_failure(subject.done)
        subject.go_on()
        assert kinds == [NoRoom]
        assert subject.files.did == [], "nothing of the log was dropped"
        assert compaction.found_no_room
        assert not compaction.applied(9, 0) and not compaction.may_help
        subject.keyspace.key_count = 49
        assert compaction.may_help, "half of the keys are gone"
        subject.keyspace.key_count = 100
        clock.advance(pause - 1.0)
        assert not compaction.applied(10, 0)
        clock.advance(1.0)
        assert compaction.applied(11, 0), "what was written before it counts on"
        subject.done = compaction.take()
    del subject.files.commit
    subject.keyspace._slices = [b"x"]
    subject.go_on()
    assert subject.files.did == ["commit", "compact 7", "free"]
    assert not compaction.found_no_room
    assert not compaction.applied(12, 0)


def raising_no_room() -> None:
    raise NoRoom("there is no room")
