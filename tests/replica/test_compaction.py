"""When a snapshot is due."""

from __future__ import annotations

from twisted.internet.task import Clock

from leto.keyspace.machine import Machine
from leto.replica.compaction import Compaction
from leto.storage.flush import InlineFlusher
from leto.storage.memory import MemoryStore


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
    found.installed(600, 3000)
    assert entries_until_due(found, 100, start=600) == 30
    found.installed(700, 10)
    assert entries_until_due(found, 100, start=700) == 10
