"""One file of the log: its header, appending to it, and scanning it.

A segment is named `<sequence, 20 digits>.segment` and begins with a header of 96 bytes, little-endian:

     0  8s   magic "LETO-LOG"
     8  u16  format, 1
    10  u16  flags: 1 = reset, the log before this segment is void (a snapshot replaced it)
    12  u32  salt of the records' checksums, random
    16  16s  cluster id
    32  8s   tag of the server (leto.storage.identity)
    40  u64  sequence number, from 1, without gaps
    48  u64  index of the first entry
    56  u64  term of the entry before the first
    64  u64  number of records in all segments before this one
    72  u32  chain: `body` of the last record before this segment, or the CRC of the previous header, or 0
    76  16s  zero
    92  u32  CRC-32 of bytes 0-91

Records follow, then, to the end of the file, zeros: the file grows ahead of the records by PAD bytes, because a
flush that need not record a new size is nearly twice as fast.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from leto.checksums import crc32
from leto.errors import CorruptStorage, ForeignDirectory
from leto.storage import records
from leto.storage.disk import File
from leto.storage.identity import Owner

MAGIC = b"LETO-LOG"
FORMAT = 1
RESET = 1
HEADER_BYTES = 96
SUFFIX = ".segment"
PAD = 512 * 1024  # zeros written ahead, with the first write that needs them
PADDED_WRITE = 128 * 1024  # for much larger writes the zeros cost more than they save
_HEADER = struct.Struct("<8sHHI16s8sQQQQI16s")
_CRC = struct.Struct("<I")
_ZEROS = memoryview(bytes(PAD))


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    owner: Owner
    sequence: int
    first_index: int
    previous_term: int
    records_before: int
    chain: int
    salt: int
    reset: bool = False

    def encode(self) -> bytes:
        fields = _HEADER.pack(
            MAGIC,
            FORMAT,
            RESET if self.reset else 0,
            self.salt,
            self.owner.cluster,
            self.owner.server,
            self.sequence,
            self.first_index,
            self.previous_term,
            self.records_before,
            self.chain,
            bytes(16),
        )
        return fields + _CRC.pack(crc32(fields))

    @property
    def crc(self) -> int:
        """What the first record's `previous` is."""
        return crc32(self.encode()[: _HEADER.size])


def name_of(sequence: int) -> str:
    return f"{sequence:020}{SUFFIX}"


def sequence_of(name: str) -> int | None:
    """The sequence number that a segment's name tells; None if it is no segment's name."""
    stem = name.removesuffix(SUFFIX)
    if stem == name or len(stem) != 20 or not (stem.isascii() and stem.isdigit()):
        return None
    return int(stem)


def decode_header(data: bytes, path: str, owner: Owner | None, sequence: int | None) -> SegmentHeader:
    """Raises CorruptStorage, or ForeignDirectory for another node's segment. `owner` or `sequence` None: any."""
    if len(data) < HEADER_BYTES:
        raise CorruptStorage(
            f"{path}: {len(data)} bytes are no log segment, its header alone has {HEADER_BYTES}; {RESTORE}"
        )
    fields = data[: _HEADER.size]
    (crc,) = _CRC.unpack_from(data, _HEADER.size)
    if data[:8] != MAGIC:
        raise CorruptStorage(f"{path}: at offset 0: this is no log segment of Leto's; {RESTORE}")
    if crc32(fields) != crc:
        raise CorruptStorage(f"{path}: at offset 0: the segment's header fails its checksum; {RESTORE}")
    _, version, flags, salt, cluster, server, number, first, term, before, chain, rest = _HEADER.unpack(fields)
    if version != FORMAT or flags & ~RESET or rest != bytes(16):
        raise CorruptStorage(f"{path}: log format {version} (flags {flags}) is unknown to this version of Leto")
    found = Owner(cluster, server)
    if owner is not None and found != owner:
        raise ForeignDirectory(f"{path}: this log segment belongs to {found.difference(owner)}; {RESTORE}")
    if sequence is not None and number != sequence:
        raise CorruptStorage(f"{path}: holds segment {number}, not {sequence}: files were swapped or copied; {RESTORE}")
    return SegmentHeader(found, number, first, term, before, chain, salt, bool(flags & RESET))


RESTORE = (
    "restore the file, or move the whole data directory away and start the node with --join: it joins its cluster anew"
)


class Scan(NamedTuple):
    """What a segment holds: its valid records up to `end`, each with where it stands, and why they end there (None:
    only zeros follow)."""

    found: list[tuple[int, records.Record]]
    end: int
    damage: records.Damage | None


def scan(data: bytes, header: SegmentHeader) -> Scan:
    """Walk a whole segment's bytes from its first record."""
    found, end, previous = records.run(data, HEADER_BYTES, len(data), header.salt, header.crc)
    if end == len(data) or is_zero(data, end):
        return Scan(found, end, None)
    try:
        records.decode(memoryview(data), end, header.salt, previous)
    except records.Damage as damage:
        return Scan(found, end, damage)
    raise AssertionError(f"a scan of {len(data)} bytes ended at {end}, before a valid record")


def is_zero(data: bytes, offset: int) -> bool:
    """Whether only zeros follow."""
    view = memoryview(data)
    for start in range(offset, len(data), PAD):
        part = view[start : start + PAD]
        if part != _ZEROS[: len(part)]:
            return False
    return True


class Segment:
    """An open segment. `end`: where the next record goes; `last_crc`: what it must name as `previous`."""

    __slots__ = ("count", "end", "file", "header", "last_crc", "limit", "zeroed")

    def __init__(self, file: File, header: SegmentHeader, limit: int) -> None:
        self.file = file
        self.header = header
        self.limit = limit  # bytes; a segment with one record may exceed it
        self.end = HEADER_BYTES
        self.zeroed = HEADER_BYTES  # the file's size: zeros from `end` to here
        self.last_crc = header.crc
        self.count = 0  # records

    @property
    def sequence(self) -> int:
        return self.header.sequence

    def append(self, buffers: list[bytes], size: int, count: int, last_crc: int) -> None:
        """Write `count` records, `size` bytes together, at the end, not durable yet. `last_crc`: `body` of the last."""
        end = self.end + size
        parts: Sequence[bytes | memoryview] = [b"".join(buffers)] if size <= PADDED_WRITE else buffers
        zeroed = self.zeroed
        if end > zeroed:
            zeroed = end
            if size <= PADDED_WRITE:
                zeroed = max(end, min((end // PAD + 1) * PAD, self.limit))
                parts = [*parts, _ZEROS[: zeroed - end]]
        self.file.write_at(self.end, parts)
        self.count += count
        self.last_crc = last_crc
        self.end = end
        self.zeroed = zeroed
