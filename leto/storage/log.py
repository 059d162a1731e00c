"""The log: segments in a row, appended to by one writer, read through an index.

A suffix is cut by writing over it, not by touching the file: a record whose index is not beyond the log's end
voids every record from that index on. So the cut and its first new entry are one record, durable together or not
at all, and a suffix cannot come back once what replaced it is durable.
"""

from __future__ import annotations

import os.path
import threading
from collections.abc import Callable, Sequence

from leto.errors import Compacted, CorruptStorage
from leto.raft.messages import Entry
from leto.storage import records
from leto.storage.disk import Disk
from leto.storage.faultpoints import reach
from leto.storage.identity import Owner
from leto.storage.log_index import OFFSET_BITS, LogIndex, place
from leto.storage.segments import HEADER_BYTES, PAD, Segment, SegmentHeader, name_of

TEMPORARY = ".tmp"
ROTATED_BYTES = 2 * PAD  # a segment of no more gives no room back that is worth another's
_READ_BYTES = 4 << 20  # at most this in one read of several entries


class Log:
    """`index` is for readers; all else belongs to the writer thread. Raises OSError as it comes."""

    def __init__(
        self,
        disk: Disk,
        directory: str,
        owner: Owner,
        segment_bytes: int,
        salt: Callable[[], int],
        segments: dict[int, Segment],
        index: LogIndex,
        written: int,
    ) -> None:
        self._disk = disk
        self._directory = directory
        self._owner = owner
        self._segment_bytes = segment_bytes
        self._salt = salt
        self._segments = segments  # by sequence number, oldest first
        self.active = segments[max(segments)]
        self.index = index
        self.written = written  # records in the log, voided ones too
        self.durable = written  # of them durable
        self._staged: list[tuple[Entry, int]] = []
        self._dropped: list[Segment] = []  # unlinked, and their room not freed yet
        self._last_written = index.last
        self._durable_index = index.last
        self._sync_lock = threading.Lock()
        self._sync_failure: OSError | None = None

    # writing ---------------------------------------------------------------------------------------

    def append(self, entries: Sequence[Entry]) -> None:
        """Write `entries`, which index.check() has passed. They are seen by readers after publish()."""
        before = self._last_written if self.durable == self.written else self._durable_index
        self._durable_index = min(before, entries[0].index - 1)
        segment = self.active
        base = segment.header.sequence << OFFSET_BITS  # of positions
        salt = segment.header.salt
        previous = segment.last_crc
        durable = self.durable
        staged = self._staged
        buffers: list[bytes] = []
        size = count = 0
        for entry in entries:
            payload = entry.payload
            length = records.HEADER_BYTES + len(payload)
            if (segment.count or count) and segment.end + size + length > segment.limit:
                if count:
                    segment.append(buffers, size, count, previous)
                    self.written += count
                segment = self._rotate()
                base = segment.header.sequence << OFFSET_BITS
                salt = segment.header.salt
                previous = segment.last_crc
                durable = self.durable
                buffers = []
                size = count = 0
            header, previous = records.encode(salt, previous, entry.kind, entry.term, entry.index, durable, payload)
            staged.append((entry, base | segment.end + size))
            buffers.append(header)
            buffers.append(payload)
            size += length
            count += 1
        segment.append(buffers, size, count, previous)
        self.written += count
        self._last_written = entries[-1].index

    @property
    def durable_index(self) -> int:
        """An index up to which all entries are durable; the highest such, if nothing has been written since. For the
        writer thread."""
        if self.durable == self.written:
            self._durable_index = self._last_written
        return self._durable_index

    def sync(self) -> None:
        """Make what is written durable. May also run in another thread than the writer's: records counted in
        `written` before the active segment is looked at are in it, or in older ones, which a rotation synced.

        One at a time, and what one sync fails of, all later ones fail of: the kernel tells an open file of an error
        once, whichever thread asks first, and the pages that it could not write are clean after that.
        """
        with self._sync_lock:
            failure = self._sync_failure
            if failure is not None:
                raise OSError(failure.errno, failure.strerror, failure.filename)
            written = self.written
            if written == self.durable:
                return
            try:
                self.active.file.sync()
            except OSError as error:
                self._sync_failure = error
                raise
            self.durable = written

    def publish(self) -> None:
        """Show readers what was appended."""
        staged = self._staged
        if not staged:
            return
        index = self.index
        first = staged[0][0].index
        if first < index.first + len(index.positions):
            index = index.before(first)
        index.extend(staged)
        self.index = index
        self._staged = []

    def _rotate(self) -> Segment:
        reach("rotate.start")
        self.sync()  # so that damage in any segment but the last is never a torn tail
        reach("rotate.old-synced")
        staged = self._staged
        if staged:
            last, term = staged[-1][0].index, staged[-1][0].term
        else:
            last, term = self.index.last, self.index.last_term or 0
        segment = self._create(first_index=last + 1, previous_term=term, reset=False)
        reach("rotate.done")
        return segment

    def _create(self, *, first_index: int, previous_term: int, reset: bool) -> Segment:
        header = SegmentHeader(
            owner=self._owner,
            sequence=self.active.sequence + 1,
            first_index=first_index,
            previous_term=previous_term,
            records_before=self.written,
            chain=self.active.last_crc,
            salt=self._salt(),
            reset=reset,
        )
        self.active = create_segment(self._disk, self._directory, header, self._segment_bytes)
        self._segments[header.sequence] = self.active
        return self.active

    # dropping --------------------------------------------------------------------------------------

    def compact(self, index: int, *, may_rotate: bool = False) -> None:
        """Drop the entries up to and including `index` by whole segments; the newest segment stays. `may_rotate`: a
        large one that has nothing beyond `index` is followed by a new one, and dropped."""
        reach("compact.start")
        if may_rotate and self.index.last <= index and self.active.end > ROTATED_BYTES:
            self._rotate()
        if self.durable != self.written:
            self.sync()  # a segment may be unneeded only because of records that replaced its own: those stay
        for sequence in sorted(self._segments)[:-1]:
            entries = self.index
            count = entries.count_in(sequence)
            last = entries.first + count - 1
            if last > index:
                break
            if count:
                self.index = entries.after(last)
            self._unlink(sequence, "compact.unlinked")
        reach("compact.done")

    def reset(self, index: int, term: int) -> None:
        """Void the whole log: it goes on after a snapshot at (index, term)."""
        reach("reset.start")
        self.sync()
        old = sorted(self._segments)
        self._create(first_index=index + 1, previous_term=term, reset=True)
        reach("reset.segment-created")
        self.index = LogIndex(index + 1, term)
        self._last_written = self._durable_index = index
        for sequence in old:
            self._unlink(sequence, "reset.old-unlinked")
        self.free_dropped()
        reach("reset.done")

    def _unlink(self, sequence: int, point: str) -> None:
        # one at a time, oldest first, each durable before the next: no gap can be left
        self._disk.unlink(self._segments[sequence].file.path)
        reach(point)
        self._disk.sync_directory(self._directory)
        self._dropped.append(self._segments.pop(sequence))

    def free_dropped(self) -> None:
        """Let go of the files that were dropped. In any thread: it is long work for the kernel, 20 ms for 64 MiB."""
        self._dropped.clear()

    # reading (any thread: see log_index) -----------------------------------------------------------

    def entries(self, low: int, high: int, max_bytes: int) -> list[Entry]:
        """Entries low <= index < high, at least one, as many as fit max_bytes. Raises Compacted, Unavailable."""
        index = self.index
        found: list[Entry] = []
        if low >= high:
            return found
        index.term(low)
        if low < index.first:
            raise Compacted(f"entry {low} was compacted: the log starts at {index.first}")
        index.term(high - 1)
        at = low - index.first
        end = high - index.first
        budget = max_bytes
        while at < end and (not found or index.sizes[at] <= budget):
            stop = at
            length = 0
            start = index.positions[at]
            # one read for records that stand one after another
            while (
                stop < end
                and index.positions[stop] == start + length
                and (index.sizes[stop] <= budget or (stop == at and not found))
                and (length < _READ_BYTES or stop == at)
            ):
                budget -= index.sizes[stop]
                length += records.HEADER_BYTES + index.sizes[stop]
                stop += 1
            found += self._read(index.first + at, index.first + stop, start, length)
            at = stop
        return found

    def _read(self, low: int, high: int, at: int, length: int) -> list[Entry]:
        sequence, offset = place(at)
        segment = self._segments.get(sequence)
        if segment is None:
            raise Compacted(f"entry {low} was compacted")
        data = segment.file.read_at(offset, length)
        salt = segment.header.salt
        found: list[Entry] = []
        add, header_bytes = found.append, records.HEADER_BYTES
        stored, here, _ = records.run(data, 0, len(data), salt, None)
        expected = low
        for at, record in stored:
            if record.index != expected:
                here = at
                break
            start = at + header_bytes
            add(Entry(expected, record.term, record.kind, data[start : start + record.length]))
            expected += 1
        if expected != high:
            try:
                record = records.decode(memoryview(data), here, salt)
                reason = f"entry {record.index} stands here"
            except records.Damage as damage:
                reason = damage.reason
            raise CorruptStorage(
                f"{segment.file.path}: entry {expected} at offset {offset + here}: {reason}, though it was"
                " good before: the disk or another program changed it"
            )
        return found

    def size(self) -> int:
        """Bytes of records and headers in the stored segments."""
        return sum([segment.end for segment in list(self._segments.values())])

    def close(self) -> None:
        for segment in self._segments.values():
            segment.file.close()


def create_segment(disk: Disk, directory: str, header: SegmentHeader, segment_bytes: int) -> Segment:
    """A new, durable, empty segment: temporary file, sync, rename, sync of the directory."""
    path = os.path.join(directory, name_of(header.sequence))
    file = disk.create(path + TEMPORARY)
    size = max(HEADER_BYTES, min(PAD, segment_bytes))
    file.write_at(0, [header.encode().ljust(size, b"\0")])
    reach("rotate.new-written")
    file.sync()
    reach("rotate.new-synced")
    disk.rename(path + TEMPORARY, path)
    reach("rotate.renamed")
    disk.sync_directory(directory)
    file.path = path
    segment = Segment(file, header, segment_bytes)
    segment.zeroed = size
    return segment
