"""Small data directories on a simulated disk, to be damaged."""

from __future__ import annotations

from collections.abc import Mapping

from leto.interfaces.store import Identity
from leto.raft.configuration import Configuration, Member, encode
from leto.raft.messages import Entry, EntryKind, HardState, SnapshotMeta
from leto.storage import FileStore
from leto.twins.disk import SimulatedDisk

IDENTITY = Identity("00112233445566778899aabbccddeeff", "id1")
CONFIGURATION = Configuration((Member("id1", "host:1", True),))
DIRECTORY = "/data"
HARD_STATE = "/data/leto.hard-state"
WATERMARK = "/data/leto.watermark"
IDENTITY_FILE = "/data/leto.identity"

Files = dict[str, bytes]


def segment(sequence: int) -> str:
    return f"/data/leto-log/{sequence:020}.segment"


def snapshot(index: int, term: int = 1, suffix: str = ".snapshot") -> str:
    return f"/data/leto-snapshots/{index:020}-{term:020}{suffix}"


def counter():
    """A stand-in for random numbers: 1, 2, 3..."""
    last = 0

    def count() -> int:
        nonlocal last
        last += 1
        return last

    return count


def open_store(disk: SimulatedDisk, **options) -> FileStore:
    options.setdefault("segment_bytes", 4096)
    return FileStore.open(DIRECTORY, disk=disk, random32=counter(), clock=lambda: 0.0, background=False, **options)


def new_store(disk: SimulatedDisk, identity: Identity = IDENTITY, **options) -> FileStore:
    store = open_store(disk, **options)
    store.identify(identity)
    return store


def commands(low: int, high: int, term: int = 1, size: int = 20) -> list[Entry]:
    return [
        Entry(index, term, int(EntryKind.COMMAND), b"%d/%d " % (index, term) + b"x" * size)
        for index in range(low, high)
    ]


def configuration_entry(index: int, term: int = 1) -> Entry:
    return Entry(index, term, int(EntryKind.CONFIGURATION), encode(CONFIGURATION))


def meta(index: int, term: int = 1) -> SnapshotMeta:
    return SnapshotMeta(index, term, CONFIGURATION, 1)


def take(store: FileStore, index: int, payload: bytes = b"state", term: int = 1) -> None:
    sink = store.create_snapshot(meta(index, term))
    sink.write(payload)
    sink.commit()


def log_of(store: FileStore) -> list[Entry]:
    return store.entries(store.first_index, store.last_index + 1, 1 << 40)


def stopped(entries: list[Entry], *, clean: bool = True) -> Files:
    """The files of a node that wrote `entries`, one write each, and stopped: cleanly, or so that the watermark
    does not know of the last ones."""
    disk = SimulatedDisk()
    store = new_store(disk)
    store.write(HardState(max([e.term for e in entries], default=1), "id1"), [], True)
    for entry in entries:
        store.write(None, [entry], True)
    if clean:
        store.close()
    return disk.files()


def changed(files: Mapping[str, bytes], path: str, data: bytes | None) -> Files:
    """`files` with one replaced, or (None) removed."""
    copy = dict(files)
    if data is None:
        del copy[path]
    else:
        copy[path] = data
    return copy


def flipped(data: bytes, at: int, mask: int = 0xFF) -> bytes:
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
