"""Every fuzz target by name. A target takes any bytes and raises nothing: what it raises is a fault found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.fuzz import client_targets, disk_targets, entry_targets, peer_targets

CORPUS = Path(__file__).resolve().parent / "corpus"


class Target(NamedTuple):
    run: Callable[[bytes], None]
    seeds: list[bytes]


TARGETS = {
    "readers": Target(client_targets.readers, client_targets.SEEDS),
    "session": Target(client_targets.session, client_targets.SEEDS),
    "frames": Target(peer_targets.frame_reader, peer_targets.FRAME_SEEDS),
    "handshake": Target(peer_targets.handshake, peer_targets.HANDSHAKE_SEEDS),
    "messages": Target(peer_targets.messages, peer_targets.MESSAGE_SEEDS),
    "core": Target(peer_targets.core, peer_targets.CORE_SEEDS),
    "forwarded": Target(entry_targets.forwarded, entry_targets.FORWARDED_SEEDS),
    "entries": Target(entry_targets.entries, entry_targets.ENTRY_SEEDS),
    "segment": Target(disk_targets.segment, disk_targets.segment_seeds()),
    "forged": Target(disk_targets.forged, disk_targets.EDIT_SEEDS),
    "directory": Target(disk_targets.directory, disk_targets.EDIT_SEEDS),
    "small-files": Target(disk_targets.small_files, disk_targets.small_seeds()),
    "snapshot": Target(disk_targets.snapshot, disk_targets.snapshot_seeds()),
    "keyspace-snapshot": Target(disk_targets.keyspace_snapshot, disk_targets.keyspace_seeds()),
}


def corpus(name: str) -> Iterator[tuple[str, bytes]]:
    """(where it comes from, input): the seeds of a target, then what is kept in its directory."""
    for number, data in enumerate(TARGETS[name].seeds):
        yield f"{name} seed {number}", data
    directory = CORPUS / name
    for path in sorted(directory.iterdir()) if directory.is_dir() else []:
        yield f"{name}/{path.name}", path.read_bytes()
