"""What may stand in a data directory's files: whatever it is, a start or a refusal."""

from __future__ import annotations

import struct
import sys
from functools import cache
from pathlib import Path
from zlib import crc32

from leto.errors import CorruptStorage, StorageError
from leto.keyspace.machine import Machine
from leto.keyspace.snapshot import LEVELS
from leto.storage import hard_state, identity, records, watermark
from leto.storage.segments import HEADER_BYTES, decode_header, scan
from leto.storage.snapshot_file import SnapshotReader, keep_whole_frames, read_header
from leto.twins.disk import SimulatedDisk
from tests.fuzz.source import Source
from tests.keyspace.tally import COMMANDS
from tests.keyspace.tiny import tiny_parts

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "storage"))
from directories import HARD_STATE, IDENTITY_FILE, WATERMARK, changed, log_of, open_store

from tests.storage.whole_directory import Original, build

NAMES = {"hard state": HARD_STATE, "watermark": WATERMARK, "identity": IDENTITY_FILE}


@cache
def originals() -> tuple[Original, Original]:
    return tuple(
        Original.of(build(clean=clean, compacted=14 * (not clean), waiting="received")) for clean in (True, False)
    )  # type: ignore[return-value]


def _edited(data: bytes, source: Source) -> bytes:
    """`data` with a few pieces replaced, removed or put in at places of the source's choice."""
    for _ in range(1 + source.byte() % 4):
        at = int.from_bytes(source.bytes(2), "big") % (len(data) + 1)
        how, piece = source.byte() % 4, source.bytes(source.byte() % 64)
        if how == 0:
            data = data[:at] + piece + data[at + len(piece) :]
        elif how == 1:
            data = data[:at] + piece + data[at:]
        elif how == 2:
            data = data[:at] + data[at + source.byte() :]
        else:
            data = data[:at]
    return data


def directory(data: bytes) -> None:
    """One file edited: a start with every entry known durable and nothing changed, or a refusal.

    (No such edit hits a right CRC-32 by chance often enough to matter; `forged` repairs them.)
    """
    source = Source(data)
    original = source.choice(originals())
    paths = sorted(path for path in original.files if not path.endswith("/"))
    path = source.choice(paths)
    original.check(changed(original.files, path, _edited(original.files[path], source)), f"{path} edited: {data!r}")


def forged(data: bytes) -> None:
    """A segment whose checks were made right again after edits: what it says may be wrong, but no more than that."""
    source = Source(data)
    original = source.choice(originals())
    paths = sorted(path for path in original.files if path.endswith(".segment"))
    path = source.choice(paths)
    edited = bytearray(_edited(original.files[path], source))
    if len(edited) >= HEADER_BYTES and edited[:8] == b"LETO-LOG":
        struct.pack_into("<I", edited, HEADER_BYTES - 4, crc32(edited[: HEADER_BYTES - 4]))
        _make_right(edited)
    try:
        store = open_store(SimulatedDisk.of(changed(original.files, path, bytes(edited))))
    except StorageError as error:
        assert "\n" not in str(error)
        return
    log_of(store)
    store.close()


def _make_right(data: bytearray) -> None:
    """Chain and check every record as far as their lengths lead."""
    (salt,) = struct.unpack_from("<I", data, 12)
    previous = crc32(data[: HEADER_BYTES - 4])
    at = HEADER_BYTES
    while at + records.HEADER_BYTES <= len(data):
        (length,) = struct.unpack_from("<I", data, at + 12)
        end = at + records.HEADER_BYTES + length
        if not any(data[at : at + records.HEADER_BYTES]) or end > len(data):
            return
        struct.pack_into("<I", data, at + 8, previous)
        head = crc32(data[at + 8 : at + records.HEADER_BYTES], salt)
        previous = crc32(data[at + records.HEADER_BYTES : end], head)
        struct.pack_into("<II", data, at, head, previous)
        at = end


def segment(data: bytes) -> None:
    """Any bytes as a segment's file."""
    try:
        header = decode_header(data, "/data/x", None, None)
    except CorruptStorage:
        return
    found = scan(data, header)
    assert HEADER_BYTES <= found.end <= len(data)
    for record in records.headers_after(data, found.end, header.salt):
        assert record.length <= records.MAX_PAYLOAD


def small_files(data: bytes) -> None:
    """Any bytes as hard state, watermark or identity, their CRCs right or not."""
    source = Source(data)
    name = source.choice(sorted(NAMES))
    repair = source.byte() & 1
    content = bytearray(source.rest())
    if repair and name != "identity":
        size = hard_state.COPY_BYTES if name == "hard state" else watermark.SLOT_BYTES
        content = content.ljust(8192, b"\0")
        for at in (0, 4096):
            struct.pack_into("<I", content, at + size - 4, crc32(content[at : at + size - 4]))
    file = SimulatedDisk.of({"/data/x": bytes(content)}).open("/data/x")
    try:
        if name == "hard state":
            copy, stale = hard_state.read(file, None)
            assert copy.state.term >= 0 and stale in ([], [0], [1])
        elif name == "watermark":
            assert watermark.read(file, None)[0] in (0, 1)
        else:
            found = identity.decode(bytes(content), "/data/x")
            assert identity.encode(found) == bytes(content)
    except StorageError as error:
        assert "\n" not in str(error)


def snapshot(data: bytes) -> None:
    """Any bytes as a snapshot's file, its header's CRC right or not: refused, or readable in every piece."""
    source = Source(data)
    repair = source.byte() & 1
    content = bytearray(source.rest())
    if repair and len(content) > 56:
        (size,) = struct.unpack_from("<I", content, 48)
        if 52 + size + 4 <= len(content):
            seed = crc32(content[: 52 + size])
            struct.pack_into("<I", content, 52 + size, seed)
            if len(content) >= 16 + 56 + size:
                struct.pack_into("<I", content, len(content) - 4, crc32(content[-16:-4], seed))
    file = SimulatedDisk.of({"/data/x": bytes(content)}).open("/data/x")
    try:
        header, start, seed = read_header(file, None)
        if header.frame_bytes:
            keep_whole_frames(file, header, start, seed)
        reader = SnapshotReader(file, None)
        reader.verify()
        assert len(reader.read(0, 1 << 62)) == reader.size
    except StorageError as error:
        assert "\n" not in str(error)


def keyspace_snapshot(data: bytes) -> None:
    """Any bytes as the state in a snapshot: refused with the old state left as it was, or loaded, and then what is
    written of it loads as well."""
    machine = Machine(random=lambda: 0.5)
    machine.level = max(LEVELS.values())
    source = Source(data)
    index = source.byte()
    content = source.rest()
    at = source.byte() or 50
    before = machine.database
    try:
        machine.restore([content[:at], content[at:]], index)
    except CorruptStorage:
        assert machine.database is before and machine.applied == 0
        return
    again = Machine(random=lambda: 0.5)
    again.restore([_written(machine)], index)
    assert again.digest() == machine.digest()


def _written(machine: Machine) -> bytes:
    writer = machine.snapshot()
    whole = b"".join(iter(lambda: writer.next_slice(1 << 20), b""))
    writer.close()
    return whole


def snapshot_seeds() -> list[bytes]:
    files = originals()[0].files
    return [bytes([flag]) + files[path] for path in sorted(files) if "snapshot" in path[-9:] for flag in (0, 1)]


def small_seeds() -> list[bytes]:
    files = originals()[0].files
    return [bytes([i, 0]) + files[NAMES[name]].rstrip(b"\0") for i, name in enumerate(sorted(NAMES))]


def segment_seeds() -> list[bytes]:
    files = originals()[0].files
    return [files[path].rstrip(b"\0")[:700] for path in sorted(files) if path.endswith(".segment")]


def keyspace_seeds() -> list[bytes]:
    from leto.keyspace import batch
    from leto.raft.messages import Entry, EntryKind
    from leto.resp.codec import pack

    requests = (b"SET a 1", b"SET b x PX 99999", b"APPEND b y", b"DEL a", b"SET c 12345")
    tallies = (b"TALLY t x y", b"TALLY u a b c d e f", b"PEXPIRE u 99999", b"SET a 1", b"DEL a")
    wholes = []
    for words_of, level in ((requests, 1), (requests, 2), (tallies, 2)):
        machine = Machine(random=lambda: 0.5, commands=COMMANDS)
        machine.level = level
        with tiny_parts():
            for index, words in enumerate(words_of, 1):
                payload = batch.encode(1000 + index, 1, pack(tuple(words.split())))
                machine.apply(Entry(index, 1, int(EntryKind.COMMAND), payload))
        wholes.append(_written(machine))
    return [seed for whole in wholes for seed in (b"\5" + whole, b"\4" + whole, b"\5" + whole[: len(whole) // 2])]


EDIT_SEEDS = [
    bytes([which, file, 0, 1, at, how, 4]) + b"\xff" * 4
    for which in (0, 1)
    for file in range(8)
    for at, how in ((9, 0), (200, 1), (40, 2), (90, 3))
]
