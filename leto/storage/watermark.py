"""What is known to be durable, kept apart from it: so that damage to it is never taken for a torn tail.

Also keeps the commit index, a hint that saves work at restart. `leto.watermark` has 8192 bytes; a slot of 96 bytes
stands at offset 0 and another at 4096. Each, little-endian:

     0  8s   magic "LETOMARK"
     8  u16  format, 1
    10  6s   zero
    16  16s  cluster id
    32  8s   tag of the server
    40  u64  version: the higher of the two valid slots counts
    48  u64  records: how many of the log's records are durable, counted from the log's beginning
    56  u64  index: of the last durable entry, for messages only
    64  u64  commit
    72  20s  zero
    92  u32  CRC-32 of bytes 0-91

Written lazily and not synced with each change: an old value is only weaker, never wrong. One slot is synced and
rests; the other is overwritten until it is synced in its turn (at a rotation, a reset and a clean stop). So a crash
can tear only one of them. Both damaged, or the file gone: Leto refuses to start.
"""

from __future__ import annotations

import struct

import msgspec

from leto.checksums import crc32
from leto.errors import CorruptStorage, ForeignDirectory
from leto.storage.disk import File
from leto.storage.faultpoints import reach
from leto.storage.identity import Owner
from leto.storage.segments import RESTORE

NAME = "leto.watermark"
MAGIC = b"LETOMARK"
FORMAT = 1
SLOT_BYTES = 96
OFFSETS = (0, 4096)
FILE_BYTES = 8192
_FIELDS = struct.Struct("<8sH6s16s8sQQQQ20s")
_CRC = struct.Struct("<I")


class Mark(msgspec.Struct, frozen=True, gc=False):
    records: int = 0
    index: int = 0
    commit: int = 0


def encode(owner: Owner, version: int, mark: Mark) -> bytes:
    fields = _FIELDS.pack(
        MAGIC, FORMAT, bytes(6), owner.cluster, owner.server, version, mark.records, mark.index, mark.commit, bytes(20)
    )
    return fields + _CRC.pack(crc32(fields))


def decode(data: bytes, path: str, owner: Owner | None) -> tuple[int, Mark] | None:
    """(version, mark) of one slot; None if it is damaged. Raises ForeignDirectory (`owner` None: any is fine)."""
    if len(data) != SLOT_BYTES:
        return None
    magic, form, _, cluster, server, version, records, index, commit, _ = _FIELDS.unpack_from(data)
    (crc,) = _CRC.unpack_from(data, _FIELDS.size)
    if magic != MAGIC or crc32(data[: _FIELDS.size]) != crc:
        return None
    if form != FORMAT:
        raise CorruptStorage(f"{path}: watermark format {form} is unknown to this version of Leto")
    found = Owner(cluster, server)
    if owner is not None and found != owner:
        raise ForeignDirectory(f"{path}: this watermark belongs to {found.difference(owner)}; {RESTORE}")
    return version, Mark(records, index, commit)


def read(file: File, owner: Owner | None) -> tuple[int, int, Mark]:
    """(slot, version, mark) in force. Raises CorruptStorage, ForeignDirectory."""
    best: tuple[int, int, Mark] | None = None
    for slot, offset in enumerate(OFFSETS):
        found = decode(file.read_at(offset, SLOT_BYTES), file.path, owner)
        if found is not None and (best is None or found[0] > best[1]):
            best = (slot, *found)
    if best is None:
        raise CorruptStorage(
            f"{file.path}: both copies of the watermark, at offsets 0 and 4096, are damaged; {RESTORE}"
        )
    return best


class WatermarkFile:
    """The open file. `mark` is what was last noted."""

    def __init__(self, file: File, owner: Owner) -> None:
        self._file = file
        self._owner = owner
        slot, self._version, self.mark = read(file, owner)
        # What is in force must be durable: a process that was killed, or whose sync failed, may have left it in the
        # page cache alone. It is written again where it stands if the other slot rests, else beside it.
        other = 1 - slot
        is_other_good = decode(file.read_at(OFFSETS[other], SLOT_BYTES), file.path, owner) is not None
        self._slot = slot if is_other_good else other
        self._synced: Mark | None = None
        self.note(self.mark)
        self.sync()

    def note(self, mark: Mark) -> None:
        """Write, not durable. Raises OSError."""
        self._version += 1
        self._file.write_at(OFFSETS[self._slot], [encode(self._owner, self._version, mark)])
        self.mark = mark
        reach("watermark.written")

    def sync(self) -> None:
        """Make what was noted durable; the slots change roles. Raises OSError."""
        if self._synced == self.mark:
            return
        self._file.sync()
        self._synced = self.mark
        self._slot = 1 - self._slot
        reach("watermark.synced")

    def replace(self, mark: Mark) -> None:
        """Take back what was noted: both slots, durably. Raises OSError."""
        for _ in range(2):
            self.note(mark)
            self._synced = None
            self.sync()

    def close(self) -> None:
        self._file.close()


def initial(owner: Owner) -> bytes:
    """A new file's content."""
    slot = encode(owner, 1, Mark())
    return slot.ljust(OFFSETS[1], b"\0") + bytes(FILE_BYTES - OFFSETS[1])
