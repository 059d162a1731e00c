"""Data directories of a cluster that has lived for long, made in a moment: keys in a snapshot, entries behind it.

They are written through the store and the state machine themselves, so they hold what the nodes would have written;
only the time of asking clients and syncing each entry is spared.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import islice

from leto.interfaces.store import Identity
from leto.keyspace import batch
from leto.keyspace.machine import Machine
from leto.raft.configuration import Configuration, Member, encode
from leto.raft.messages import Entry, EntryKind, HardState, SnapshotMeta
from leto.storage.store import FileStore
from tests.integration.cluster import Node

CLUSTER = "5ca1e" + "0" * 27
KEYS_PER_ENTRY = 25  # what 50 clients without pipelines make of it
WRITTEN_AT_ONCE = 1000  # entries
TIME_MS = 1_700_000_000_000


def key(number: int) -> bytes:
    """16 bytes."""
    return b"key:%012d" % number


def set_command(name: bytes, value: bytes) -> bytes:
    """A SET as clients send it."""
    return b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(name), name, len(value), value)


def value(number: int, size: int) -> bytes:
    """`size` bytes, different for each number."""
    return b"%016d" % number * (size // 16) + b"v" * (size % 16)


def build(nodes: Sequence[Node], *, keys: int, entries: int, value_bytes: int = 64) -> None:
    """Make each node's directory: `keys` keys in a snapshot, then `entries` entries of one SET each, over those keys.

    All are voters. Nothing is synced but by the snapshot and the end.
    """
    members = tuple(Member(node.id, node.raft_address, True, False, node.address) for node in nodes)
    configuration = Configuration(members=tuple(sorted(members, key=lambda member: member.id)))
    for node in nodes:
        _build_one(node, configuration, keys, entries, value_bytes)


def _build_one(node: Node, configuration: Configuration, keys: int, entries: int, value_bytes: int) -> None:
    store = FileStore.open(str(node.raftdir), fsync="no", background=False)
    try:
        store.identify(Identity(CLUSTER, node.id))
        store.write(HardState(term=1), [], True)
        store.write(None, [Entry(1, 1, int(EntryKind.CONFIGURATION), encode(configuration))], True)
        machine = Machine(random=random.Random(1).random)
        if keys:
            for entry in _loading(2, keys, value_bytes):
                machine.apply(entry)
                store.write(None, [entry], False)
            _snapshot(store, machine, configuration)
        behind = _behind(store.last_index + 1, keys or 1, entries, value_bytes)
        while some := list(islice(behind, WRITTEN_AT_ONCE)):
            store.write(None, some, False)
        store.write(HardState(term=1, commit=store.last_index), [], True)
    finally:
        store.close()


def _snapshot(store: FileStore, machine: Machine, configuration: Configuration) -> None:
    sink = store.create_snapshot(SnapshotMeta(machine.applied, 1, configuration, 1))
    writer = machine.snapshot()
    while data := writer.next_slice(1 << 20):
        sink.write(data)
    writer.close()
    sink.commit()
    store.compact(machine.applied)


def _loading(index: int, keys: int, value_bytes: int) -> Iterator[Entry]:
    for start in range(0, keys, KEYS_PER_ENTRY):
        numbers = range(start, min(start + KEYS_PER_ENTRY, keys))
        requests = b"".join(set_command(key(number), value(number, value_bytes)) for number in numbers)
        yield Entry(index, 1, int(EntryKind.COMMAND), batch.encode(TIME_MS, len(numbers), requests))
        index += 1


def _behind(index: int, keys: int, entries: int, value_bytes: int) -> Iterator[Entry]:
    draw = random.Random(2)
    for number in range(entries):
        command = set_command(key(draw.randrange(keys)), value(number, value_bytes))
        yield Entry(index + number, 1, int(EntryKind.COMMAND), batch.encode(TIME_MS, 1, command))
