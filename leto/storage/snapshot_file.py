"""One snapshot's file: its header, frames and trailer, written by SnapshotWriter and read by SnapshotReader.

Little-endian. The header:

     0  8s   magic "LETOSNAP"
     8  u16  format, 1
    10  u8   origin: 0 taken by this node, 1 received from a leader
    11  u8   zero
    12  u32  frame: payload bytes of every frame but the last, which may be shorter
    16  16s  cluster id
    32  u64  size announced by the leader (received ones; else 0)
    40  u64  token: random, or the leader's; tells two snapshots of one index apart
    48  u32  length of the meta
    52       meta: MessagePack of leto.raft.messages.SnapshotMeta
     .  u32  CRC-32 of all that precedes: the file's seed

Frames follow, numbered from 0, each

     0  u32  length
     4  u32  CRC-32 of the payload, started from CRC-32(number as u64, started from the seed)
     8       payload

and the trailer: u32 0xFFFFFFFF, u64 payload bytes in all, u32 CRC-32 of these 12 bytes started from the seed.
A frame of another file, or out of its place, fails its checksum. All but the last frame have the same length, so
that any offset of the payload can be found without reading what precedes it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import msgspec

from leto.checksums import crc32
from leto.errors import CorruptStorage, ForeignDirectory, StorageError
from leto.raft.messages import SnapshotMeta
from leto.storage.disk import File

MAGIC = b"LETOSNAP"
FORMAT = 1
FRAME_BYTES = 64 * 1024
OWN, RECEIVED = 0, 1
_HEADER = struct.Struct("<8sHBBI16sQQI")
_FRAME = struct.Struct("<II")
_TRAILER = struct.Struct("<IQ")
_CRC = struct.Struct("<I")
_NUMBER = struct.Struct("<Q")
_END = 0xFFFFFFFF
_MAX_META = 16 << 20
_TRAILER_BYTES = _TRAILER.size + _CRC.size
SYNC_BYTES = 1 << 20  # at a time: while the disk takes 8 MiB in one go, the log's flushes wait for up to 5 ms
_SCAN_FRAMES = 4  # read at once, beside the log's flushes
RESTORE = "restore the file, or move the data directory away and start the node with --join: it joins its cluster anew"


@dataclass(frozen=True, slots=True)
class SnapshotHeader:
    cluster: bytes
    meta: SnapshotMeta
    origin: int
    announced: int
    token: int
    frame_bytes: int = FRAME_BYTES

    def encode(self) -> bytes:
        meta = msgspec.msgpack.encode(self.meta)
        fields = _HEADER.pack(
            MAGIC, FORMAT, self.origin, 0, self.frame_bytes, self.cluster, self.announced, self.token, len(meta)
        )
        return fields + meta + _CRC.pack(crc32(fields + meta))


def read_header(file: File, cluster: bytes | None) -> tuple[SnapshotHeader, int, int]:
    """(header, its length, seed). Raises CorruptStorage, ForeignDirectory."""
    path = file.path
    fields = file.read_at(0, _HEADER.size)
    if len(fields) < _HEADER.size or fields[:8] != MAGIC:
        raise CorruptStorage(f"{path}: at offset 0: this is no snapshot of Leto's; {RESTORE}")
    _, version, origin, zero, frame_bytes, found, announced, token, size = _HEADER.unpack(fields)
    rest = file.read_at(_HEADER.size, size + _CRC.size) if size <= _MAX_META else b""
    seed = crc32(fields + rest[:size])
    if len(rest) != size + _CRC.size or _CRC.unpack_from(rest, size)[0] != seed:
        raise CorruptStorage(f"{path}: at offset 0: the snapshot's header fails its checksum; {RESTORE}")
    if version != FORMAT or origin > RECEIVED or zero or not frame_bytes:
        raise CorruptStorage(f"{path}: snapshot format {version} is unknown to this version of Leto")
    if cluster is not None and found != cluster:
        raise ForeignDirectory(
            f"{path}: this snapshot belongs to another cluster ({found.hex()}, this node's is {cluster.hex()});"
            f" {RESTORE}"
        )
    try:
        meta = msgspec.msgpack.decode(rest[:size], type=SnapshotMeta)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise CorruptStorage(f"{path}: at offset {_HEADER.size}: the snapshot's meta: {error}") from None
    header = SnapshotHeader(found, meta, origin, announced, token, frame_bytes)
    return header, _HEADER.size + size + _CRC.size, seed


def _frame_crc(payload: bytes | memoryview, number: int, seed: int) -> int:
    return crc32(payload, crc32(_NUMBER.pack(number), seed))


class SnapshotWriter:
    """Appends frames to a file. Raises OSError."""

    def __init__(self, file: File, header: SnapshotHeader) -> None:
        data = header.encode()
        self._file = file
        self._frame_bytes = header.frame_bytes
        self._seed = _CRC.unpack_from(data, len(data) - _CRC.size)[0]
        self._at = len(data)
        self._number = 0
        self._rest = bytearray()  # less than a frame
        self._unsynced = 0
        self.size = 0  # payload bytes taken
        file.write_at(0, [data])

    def resume(self, frames: int) -> None:
        """Go on after `frames` whole frames that are in the file already."""
        self._number = frames
        self.size = frames * self._frame_bytes
        self._at += frames * (_FRAME.size + self._frame_bytes)
        self._file.truncate(self._at)
        self._file.sync()

    def write(self, data: bytes) -> bool:
        """Take payload. True if it was synced."""
        self.size += len(data)
        rest = self._rest
        rest += data
        whole = len(rest) // self._frame_bytes * self._frame_bytes
        if whole:
            self._write_frames(bytes(memoryview(rest)[:whole]))
            del rest[:whole]
        if self._unsynced < SYNC_BYTES:
            return False
        self.sync()
        return True

    def _write_frames(self, data: bytes) -> None:
        view = memoryview(data)
        buffers: list[bytes | memoryview] = []
        for start in range(0, len(data), self._frame_bytes):
            frame = view[start : start + self._frame_bytes]
            buffers.append(_FRAME.pack(len(frame), _frame_crc(frame, self._number, self._seed)))
            buffers.append(frame)
            self._number += 1
        self._file.write_at(self._at, buffers)
        size = sum(map(len, buffers))
        self._at += size
        self._unsynced += size

    def sync(self) -> None:
        self._file.sync()
        self._unsynced = 0

    def finish(self) -> None:
        """Write the last frame and the trailer, not synced."""
        if self._rest:
            self._write_frames(bytes(self._rest))
            self._rest.clear()
        trailer = _TRAILER.pack(_END, self.size)
        self._file.write_at(self._at, [trailer, _CRC.pack(crc32(trailer, self._seed))])


class SnapshotReader:
    """A complete snapshot's file, as leto.interfaces.store.SnapshotSource. Raises CorruptStorage, ForeignDirectory."""

    def __init__(self, file: File, cluster: bytes | None) -> None:
        self._file = file
        self.header, self._start, self._seed = read_header(file, cluster)
        self.meta = self.header.meta
        self.token = self.header.token
        self._frame_bytes = self.header.frame_bytes
        self.size: int = 0  # bytes of the payload
        end = file.size()
        at = end - _TRAILER_BYTES
        data = file.read_at(at, _TRAILER_BYTES) if at >= self._start else b""
        if len(data) == _TRAILER_BYTES:
            mark, self.size = _TRAILER.unpack_from(data)
            good = mark == _END and crc32(data[: _TRAILER.size], self._seed) == _CRC.unpack_from(data, _TRAILER.size)[0]
        else:
            good = False
        if not good or self._start + self._frames() * _FRAME.size + self.size != at:
            raise CorruptStorage(
                f"{file.path}: at offset {max(at, 0)}: the snapshot's end is damaged or missing; {RESTORE}"
            )

    def _frames(self) -> int:
        return -(-self.size // self._frame_bytes)

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` payload bytes from `offset`; b"" at the end."""
        size = min(size, self.size - offset)
        if size <= 0 or offset < 0:
            return b""
        first = offset // self._frame_bytes
        last = (offset + size - 1) // self._frame_bytes
        parts = self._read_frames(first, last + 1)
        skip = offset - first * self._frame_bytes
        if len(parts) == 1:
            return bytes(parts[0][skip : skip + size])
        parts[0] = parts[0][skip:]
        parts[-1] = parts[-1][: offset + size - last * self._frame_bytes]
        return b"".join(parts)

    def _read_frames(self, low: int, high: int) -> list[memoryview]:
        step = _FRAME.size + self._frame_bytes
        at = self._start + low * step
        payload = min(high * self._frame_bytes, self.size) - low * self._frame_bytes
        data = memoryview(self._file.read_at(at, payload + (high - low) * _FRAME.size))
        frames: list[memoryview] = []
        here = 0
        for number in range(low, high):
            frame = _frame_at(
                data, here, number, self._seed, min(self._frame_bytes, self.size - number * self._frame_bytes)
            )
            if frame is None:
                raise CorruptStorage(
                    f"{self._file.path}: at offset {at + here}: the snapshot's frame {number} fails its checksum;"
                    f" {RESTORE}"
                )
            frames.append(frame)
            here += _FRAME.size + len(frame)
        return frames

    def verify(self) -> None:
        """Read all of it. Raises CorruptStorage."""
        frames = self._frames()
        for low in range(0, frames, _SCAN_FRAMES):
            self._read_frames(low, min(low + _SCAN_FRAMES, frames))

    def close(self) -> None:
        self._file.close()


def _frame_at(data: memoryview, at: int, number: int, seed: int, length: int) -> memoryview | None:
    if len(data) - at < _FRAME.size + length:
        return None
    found, crc = _FRAME.unpack_from(data, at)
    payload = data[at + _FRAME.size : at + _FRAME.size + length]
    return payload if found == length and _frame_crc(payload, number, seed) == crc else None


def keep_whole_frames(file: File, header: SnapshotHeader, start: int, seed: int) -> int:
    """How many full, valid frames an unfinished file holds from its beginning. They are written again, so that the next
    sync makes them durable: after one that failed, they may be in the page cache alone, where they pass for clean."""
    step = _FRAME.size + header.frame_bytes
    frames = 0
    limit = header.announced // header.frame_bytes
    while frames < limit:
        data = memoryview(file.read_at(start + frames * step, step))
        if _frame_at(data, 0, frames, seed, header.frame_bytes) is None:
            break
        file.write_at(start + frames * step, [data])
        frames += 1
        if frames % (SYNC_BYTES // FRAME_BYTES) == 0:
            file.sync()
    return frames


def check_meta(meta: SnapshotMeta, size: int) -> None:
    """Raises StorageError for a meta or size that no snapshot has."""
    if not (0 < meta.index < 1 << 63 and 0 < meta.term < 1 << 63 and 0 <= size < 1 << 63):
        raise StorageError(f"a snapshot at index {meta.index}, term {meta.term} of {size} bytes cannot be")
