"""Bringing the log back from its files: what is believed, what is cut, and what is refused.

- Every segment but the last is wholly durable: any damage in it is refused.
- The last segment may end in a torn write: bytes after its last valid record that are no valid record. They are
  cut only if nothing says that they were durable: not the watermark, not the commit index that was saved with term
  and vote, and no valid header beyond them. Such a header
  tells how many records were durable when it was written, and the records of one interrupted write may have reached
  the disk in any order: so a later record alone proves nothing, its `durable` does.
- A cut tail is first copied beside its segment (`<name>.torn-<n>`).

A node that was stopped in order leaves the watermark at its log's end, so nothing is cut after that. After a crash the
watermark may lag (leto.storage.store), and the last write before it may have been acknowledged or not: no file tells.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable
from dataclasses import dataclass

from leto.errors import CorruptStorage
from leto.raft.messages import Entry, EntryKind
from leto.storage import records
from leto.storage.disk import Disk, File
from leto.storage.identity import Owner
from leto.storage.log import TEMPORARY, Log
from leto.storage.log_index import LogIndex, position
from leto.storage.segments import (
    HEADER_BYTES,
    RESTORE,
    Scan,
    Segment,
    SegmentHeader,
    decode_header,
    name_of,
    scan,
    sequence_of,
)
from leto.storage.snapshot_file import RECEIVED
from leto.storage.snapshots import Snapshots
from leto.storage.watermark import Mark

TORN = ".torn-"
PAGE = 4096  # bytes; what the page cache holds, and a file system writes, as one
CONFIGURATION = int(EntryKind.CONFIGURATION)


class Replay:
    """Rebuilds the index from scanned segments, oldest first, checking each against those before it."""

    def __init__(self, first: SegmentHeader) -> None:
        self.index = LogIndex(first.first_index, first.previous_term)
        self.records = first.records_before
        self.chain = first.chain
        self._sequence = first.sequence
        # what stood before the first segment may have been compacted; then its first record may replace entries
        # of a segment that is gone
        self._prefix_gone = first.sequence > 1 and not first.reset

    def begin(self, path: str, header: SegmentHeader) -> None:
        """Raises CorruptStorage unless the segment continues the ones before."""
        if header.sequence != self._sequence:
            missing = name_of(self._sequence)
            raise CorruptStorage(
                f"{os.path.join(os.path.dirname(path), missing)}: this log segment is missing; {RESTORE}"
            )
        if header.chain != self.chain or header.records_before != self.records:
            raise CorruptStorage(
                f"{path}: at offset 0: this log segment does not continue the one before it, which ends with entry"
                f" {self.index.last}; {RESTORE}"
            )
        self.chain = header.crc

    def add(self, path: str, header: SegmentHeader, data: bytes, found: Scan) -> None:
        """Take a segment's records. Raises CorruptStorage."""
        sequence = header.sequence
        base = position(sequence, 0)
        index = self.index
        last, last_term = index.last, index.last_term
        for offset, record in found.found:
            if (
                record.index == last + 1
                and record.term == last_term
                and record.kind != CONFIGURATION
                and index.run_terms
            ):
                index.sizes.append(record.length)
                index.positions.append(base | offset)
                last += 1
                continue
            if record.index <= index.last:
                if record.index >= index.first:
                    index = index.before(record.index)
                elif self._prefix_gone:
                    index = LogIndex(record.index, None if record.index > 1 else 0)
            if record.index != index.last + 1:
                raise CorruptStorage(
                    f"{path}: entry {record.index} at offset {offset} follows entry {index.last}; {RESTORE}"
                )
            if record.term < (index.last_term or 0):
                raise CorruptStorage(
                    f"{path}: entry {record.index} at offset {offset} has term {record.term}, lower than the"
                    f" {index.last_term} of the entry before it; {RESTORE}"
                )
            index.append(record.term, record.length, position(sequence, offset))
            if record.kind == CONFIGURATION:
                start = offset + records.HEADER_BYTES
                payload = data[start : start + record.length]
                index.configurations.append(Entry(record.index, record.term, record.kind, payload))
            last, last_term = index.last, index.last_term
        if found.found:
            self.chain = found.found[-1][1].body
        self.index = index
        self.records += len(found.found)
        self._sequence += 1


@dataclass(slots=True)
class _Read:
    """A segment's file, read."""

    path: str
    file: File
    header: SegmentHeader


def segment_names(disk: Disk, directory: str) -> list[tuple[int, str]]:
    """(sequence, name) of every segment, in order."""
    return sorted((sequence, name) for name in disk.names(directory) if (sequence := sequence_of(name)) is not None)


def recover(
    disk: Disk,
    directory: str,
    owner: Owner,
    mark: Mark,
    segment_bytes: int,
    salt: Callable[[], int],
    notes: list[str],
    committed: int = 0,
) -> Log:
    """Open the log. `committed`: the index up to which entries are known to have been durable, beyond any snapshot.
    Raises CorruptStorage, ForeignDirectory, OSError; `notes` gets a line for whatever was mended."""
    for name in disk.names(directory):
        if name.endswith(TEMPORARY):
            disk.unlink(os.path.join(directory, name))
            notes.append(f"removed {os.path.join(directory, name)}, left by an interrupted start of a segment")
    opened: list[_Read] = []
    for sequence, name in segment_names(disk, directory):
        path = os.path.join(directory, name)
        file = disk.open(path)
        opened.append(_Read(path, file, decode_header(file.read_at(0, HEADER_BYTES), path, owner, sequence)))
    if not opened:
        raise CorruptStorage(f"{directory}: no log segment is there; {RESTORE}")
    resets = [at for at, read in enumerate(opened) if read.header.reset]
    if resets and resets[-1] > 0:
        void, opened = opened[: resets[-1]], opened[resets[-1] :]
        for read in void:
            read.file.close()
            disk.unlink(read.path)
            disk.sync_directory(directory)
            notes.append(f"removed {read.path}: a snapshot has replaced the log up to it")
    replay = Replay(opened[0].header)
    segments: dict[int, Segment] = {}
    for read in opened:
        replay.begin(read.path, read.header)
        is_last = read is opened[-1]
        data = read.file.read_at(0, read.file.size())
        found = scan(data, read.header)
        replay.add(read.path, read.header, data, found)
        if found.damage is not None:
            _judge(read.path, read.header, data, found, replay, mark, committed, is_last)
            notes.append(_cut(disk, directory, read, data, found, replay.index.last))
        segment = Segment(read.file, read.header, segment_bytes)
        segment.end = found.end
        segment.zeroed = read.file.size()
        segment.last_crc = replay.chain
        segment.count = len(found.found)
        segments[read.header.sequence] = segment
    if replay.records < mark.records:
        end = opened[-1]
        raise CorruptStorage(
            f"{end.path}: the log ends at offset {segments[end.header.sequence].end} with entry {replay.index.last},"
            f" but {mark.records - replay.records} more records up to entry {mark.index} were durable: the file was cut"
            f" or a later segment is missing; {RESTORE}"
        )
    if replay.index.last < committed:
        end = opened[-1]
        raise CorruptStorage(
            f"{end.path}: the log ends at offset {segments[end.header.sequence].end} with entry {replay.index.last},"
            f" but {_told_by_hard_state(committed)}: the file was cut or a later segment is missing; {RESTORE}"
        )
    _write_again(opened[-1], data, found, mark)
    return Log(disk, directory, owner, segment_bytes, salt, segments, replay.index, replay.records)


def join(log: Log, log_path: str, snapshots: Snapshots, snapshots_path: str, notes: list[str]) -> None:
    """See that snapshot and log meet; finish an interrupted install. Raises CorruptStorage, OSError."""
    meta, index = snapshots.newest, log.index
    base = meta.index if meta is not None else 0
    if index.first > base + 1:
        if snapshots.failure is not None:
            raise snapshots.failure
        found = f"the newest snapshot ends at {base}" if meta is not None else "there is no snapshot"
        raise CorruptStorage(
            f"{snapshots_path}: the log begins at entry {index.first}, but {found}: files are missing; {RESTORE}"
        )
    if meta is None or index.leads_to(meta.index, meta.term):
        return
    if snapshots.failure is not None:
        raise snapshots.failure
    if snapshots.origin != RECEIVED:
        raise CorruptStorage(
            f"{log_path}: the log ends at entry {index.last} and does not lead to the snapshot at {base},"
            f" term {meta.term}: files are missing; {RESTORE}"
        )
    log.reset(meta.index, meta.term)
    notes.append(f"finished installing the snapshot at entry {meta.index}: the log before it was dropped")


def _told_by_hard_state(committed: int) -> str:
    return f"the hard state tells that all entries up to {committed} were committed, and durable here"


def _write_again(last: _Read, data: bytes, found: Scan, mark: Mark) -> None:
    """Make what was read of the last segment durable: it counts as that from here on.

    A killed process may have left records in the page cache alone; so may a sync that failed, and there the pages
    count as clean: reads show them, a sync reports success, and power takes them. So all that no sync is known to
    have covered is written again, by whole pages, which makes them dirty, and then synced.
    """
    records_before = last.header.records_before
    durable = max(mark.records, found.found[-1][1].durable if found.found else 0) - records_before
    if durable < len(found.found):
        start = found.found[durable][0] // PAGE * PAGE if durable > 0 else 0
        last.file.write_at(start, [memoryview(data)[start : found.end]])
    last.file.sync()


def _judge(
    path: str,
    header: SegmentHeader,
    data: bytes,
    found: Scan,
    replay: Replay,
    mark: Mark,
    committed: int,
    is_last: bool,
) -> None:
    """Raises CorruptStorage unless the damage at found.end may be a torn write."""
    damage = found.damage
    assert damage is not None
    reason = ""
    if not is_last:
        reason = "later segments show that this one was complete"
    elif not damage.torn:
        reason = "no interrupted write leaves that"
    elif mark.records > replay.records:
        reason = f"it was durable (the watermark stands at entry {mark.index})"
    elif committed > replay.index.last:
        reason = _told_by_hard_state(committed)
    else:
        for later in records.headers_after(data, found.end, header.salt):
            if later.durable > replay.records:
                reason = f"it was durable when entry {later.index}, which follows, was written"
                break
    if reason:
        raise CorruptStorage(
            f"{path}: at offset {found.end}, entry {replay.index.last + 1}: {damage.reason}; {reason}: the disk or"
            f" another program damaged it; {RESTORE}"
        )


def _cut(disk: Disk, directory: str, read: _Read, data: bytes, found: Scan, last: int) -> str:
    assert found.damage is not None
    tail = data[found.end :].rstrip(b"\0")
    number = 1
    while disk.exists(f"{read.path}{TORN}{number}"):
        number += 1
    aside = f"{read.path}{TORN}{number}"
    copy = disk.create(aside)
    copy.write_at(0, [tail])
    copy.sync()
    copy.close()
    disk.sync_directory(directory)
    read.file.truncate(found.end)
    read.file.sync()
    return (
        f"{read.path}: cut {len(tail)} bytes at offset {found.end}, after entry {last} ({found.damage.reason}): a write"
        " that the node's end interrupted, as far as this disk can tell; damage to what it wrote in its last moments"
        f" looks the same; copied to {aside}"
    )
