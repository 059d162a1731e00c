"""A data directory that holds one of everything, and what a start may make of it once one byte or length is wrong."""

from __future__ import annotations

import os.path
from collections.abc import Iterator
from dataclasses import dataclass

from leto.errors import StorageError
from leto.interfaces.store import Identity
from leto.raft.messages import Entry, HardState, SnapshotMeta
from leto.storage import FileStore, records, watermark
from leto.storage.segments import SUFFIX, decode_header, scan
from leto.twins.disk import SimulatedDisk
from tests.storage.directories import (
    Files,
    changed,
    commands,
    configuration_entry,
    flipped,
    log_of,
    meta,
    new_store,
    open_store,
    take,
)

RECEIVED = b"received " * 20
PARTIAL_AT, COMPLETE_AT = 90, 80
OLDER, NEWEST = b"older state", b"newer state " * 9


def receive(store: FileStore, index: int):
    return store.receive_snapshot(meta(index, 3), len(RECEIVED), index)


def build(*, clean: bool, compacted: int, waiting: str) -> Files:
    """A node with several segments, a replaced suffix, two snapshots and one on its way (`waiting`: "partial" or
    "received"); stopped in order, or killed just after writes that the watermark does not tell of yet."""
    disk = SimulatedDisk()
    store = new_store(disk)
    store.write(HardState(1, "id1"), [configuration_entry(1)], True)
    store.write(None, commands(2, 20, size=300), True)
    take(store, 8, OLDER)
    store.write(HardState(2, "id2", 12), commands(16, 30, term=2, size=200), True)  # replaces a suffix
    take(store, 14, NEWEST)
    if compacted:
        store.compact(compacted)
    store.write(HardState(3, "id1", 20), [], True)
    if waiting == "received":
        sink = receive(store, COMPLETE_AT)
        sink.write(RECEIVED)
        sink.commit()
    else:
        sink = receive(store, PARTIAL_AT)
        sink.write(RECEIVED[:90])
        sink.abort(keep_partial=True)
    store.write(None, commands(30, 32, term=3, size=150), True)
    store.write(None, commands(32, 33, term=3, size=150), True)
    if clean:
        store.close()
    return disk.files()


@dataclass
class Original:
    """An undamaged directory, and what it says."""

    files: Files
    identity: Identity
    hard_state: tuple[int, str]
    snapshots: dict[SnapshotMeta, bytes]
    entries: dict[int, Entry]
    last: int
    mark: watermark.Mark

    @classmethod
    def of(cls, files: Files) -> Original:
        disk = SimulatedDisk.of(files)
        path = next(path for path in files if path.endswith(watermark.NAME))
        _, _, mark = watermark.read(disk.open(path), None)
        store = open_store(disk)
        assert store.recovered == [] and store.identity is not None
        found = cls(
            files=files,
            identity=store.identity,
            hard_state=(store.hard_state.term, store.hard_state.vote),
            snapshots={meta(8): OLDER, meta(14): NEWEST},
            entries={entry.index: entry for entry in log_of(store)},
            last=store.last_index,
            mark=mark,
        )
        store.close()
        return found

    def check(self, damaged: Files, what: str) -> str:
        """Start from the damaged directory: "started", "shortened" or "refused". AssertionError for anything else:
        an exception that is no refusal, a refusal without the file, a value that changed, a durable entry missing."""
        disk = SimulatedDisk.of(damaged)
        try:
            store = open_store(disk)
        except StorageError as error:
            line = str(error)
            assert "\n" not in line and line.isprintable(), (what, line)
            assert "/data/" in line, (what, line)
            assert not disk.locks, f"{what}: a refused start keeps the lock"
            return "refused"
        assert store.identity == self.identity, what
        assert (store.hard_state.term, store.hard_state.vote) == self.hard_state, what
        snapshot = store.snapshot
        assert snapshot is not None, what
        source = store.open_snapshot()
        assert source is not None and source.read(0, 1 << 30) == self.snapshots[snapshot], what
        assert store.first_index <= snapshot.index + 1, f"{what}: a gap after the snapshot"
        assert store.last_index >= snapshot.index, what
        assert store.hard_state.commit <= store.last_index, what
        for entry in log_of(store):
            assert entry == self.entries[entry.index], f"{what}: entry {entry.index} changed"
        outcome = "started"
        if store.last_index < self.last:
            assert store.last_index >= self.known_durable(damaged), f"{what}: an entry known to be durable is gone"
            assert any("torn-" in line for line in store.recovered) or self.was_zeroed(damaged, store), what
            outcome = "shortened"
        self.goes_on(store, what)
        return outcome

    def was_zeroed(self, damaged: Files, store: FileStore) -> bool:
        """Cut exactly between two records: nothing is left that could be told of."""
        path = max(path for path in damaged if path.endswith(SUFFIX))
        whole = self.files[path]
        return damaged[path] == whole[: len(damaged[path])] and store.last_index >= self.known_durable(damaged)

    def known_durable(self, damaged: Files) -> int:
        """The last entry that the watermark, or a record that is still there, says was durable."""
        count = self.mark.records
        indexes: list[int] = []  # of every record ever written and still in a segment, in order
        first_count = None
        for path in sorted(path for path in self.files if path.endswith(SUFFIX)):
            header = decode_header(self.files[path], path, None, None)
            if first_count is None:
                first_count = header.records_before
            indexes += [record.index for _, record in scan(self.files[path], header).found]
            for record in records.headers_after(damaged[path], 0, header.salt):
                count = max(count, record.durable)
        assert first_count is not None
        return indexes[count - first_count - 1] if count > first_count else 0

    def goes_on(self, store: FileStore, what: str) -> None:
        """It can write, receive a snapshot anew or on from what came, stop, and start again with all of it."""
        more = commands(store.last_index + 1, store.last_index + 3, term=4)
        store.write(HardState(4, "id3"), more, True)
        for index in (COMPLETE_AT, PARTIAL_AT):
            sink = receive(store, index)
            sink.write(RECEIVED[sink.offset :])
            sink.commit()
        store.install_snapshot(meta(PARTIAL_AT, 3))
        store.close()
        again = open_store(store._disk)
        assert again.recovered == [], what
        assert again.snapshot == meta(PARTIAL_AT, 3), what
        source = again.open_snapshot()
        assert source is not None and source.read(0, 1 << 30) == RECEIVED, what
        assert again.hard_state.term == 4 and again.hard_state.vote == "id3", what


def flips(original: Original, path: str, step: int, offset: int, mask: int) -> Iterator[tuple[str, Files]]:
    """Every `step`th byte of the file flipped; mask 0: another bit at each byte."""
    data = original.files[path]
    for at in range(offset % step, len(data), step):
        bits = mask or 1 << at % 8
        yield f"{os.path.basename(path)}: byte {at} ^ {bits:#x}", changed(original.files, path, flipped(data, at, bits))


def cuts(original: Original, path: str, step: int, offset: int) -> Iterator[tuple[str, Files]]:
    """The file cut to every `step`th length."""
    data = original.files[path]
    for length in range(offset % step, len(data), step):
        yield f"{os.path.basename(path)}: cut to {length}", changed(original.files, path, data[:length])
