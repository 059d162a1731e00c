"""What a simulated disk gives a process that starts now, or after the power failed now."""

from __future__ import annotations

from collections.abc import Mapping

from leto.raft.configuration import Configuration, decode
from leto.storage.store import FileStore
from leto.twins.disk import SimulatedDisk


def last_configuration(store: FileStore) -> Configuration | None:
    """The one that a node starts with from that store."""
    configurations = store.configurations()
    if configurations:
        return decode(configurations[-1].payload)
    return store.snapshot.configuration if store.snapshot is not None else None


def recover(disk: SimulatedDisk) -> FileStore | None:
    """The store as it would be recovered, all that was not synced lost. None: the disk is nobody's."""
    files: dict[str, bytes] = {}
    for path, directory in disk._directories.items():
        if path != "/":
            files[f"{path}/"] = b""
        for name, inode in directory.durable.items():
            files[f"{path}/{name}"] = bytes(inode.durable)
    return opened(files)


def opened(files: Mapping[str, bytes]) -> FileStore | None:
    """The store in a copy of these files. None: it is nobody's. Raises StorageError."""
    store = FileStore.open(
        "/data",
        segment_bytes=4096,
        disk=SimulatedDisk.of(files),
        random32=lambda: 1,
        clock=lambda: 0.0,
        background=False,
    )
    return store if store.identity is not None else None
