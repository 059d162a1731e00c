"""Creating a data directory's files, and telling a fresh directory from one that lost its identity."""

from __future__ import annotations

import os.path
from collections.abc import Callable

from leto.errors import CorruptStorage, StorageError
from leto.storage import hard_state, watermark
from leto.storage.disk import Disk
from leto.storage.identity import Owner
from leto.storage.log import TEMPORARY, create_segment
from leto.storage.recovery import segment_names
from leto.storage.segments import HEADER_BYTES, SegmentHeader, is_zero

LOG = "leto-log"
SNAPSHOTS = "leto-snapshots"


def write_whole(disk: Disk, directory: str, name: str, data: bytes) -> None:
    """Create or replace a small file: temporary file, sync, rename, sync of the directory. Raises OSError."""
    path = os.path.join(directory, name)
    if disk.exists(path + TEMPORARY):
        disk.unlink(path + TEMPORARY)
    file = disk.create(path + TEMPORARY)
    file.write_at(0, [data])
    file.sync()
    file.close()
    disk.rename(path + TEMPORARY, path)
    disk.sync_directory(directory)


def create_files(disk: Disk, directory: str, owner: Owner, segment_bytes: int, random32: Callable[[], int]) -> None:
    """Everything but the identity, as a node has it that never wrote. Leftovers of an interrupted creation, which
    check_fresh() has seen to be empty, are replaced. Raises OSError."""
    log = os.path.join(directory, LOG)
    disk.make_directory(log)
    disk.make_directory(os.path.join(directory, SNAPSHOTS))
    write_whole(disk, directory, hard_state.NAME, hard_state.initial(owner))
    write_whole(disk, directory, watermark.NAME, watermark.initial(owner))
    names = disk.names(log)
    for name in names:
        if name.endswith(TEMPORARY):
            disk.unlink(os.path.join(log, name))
    for _, name in segment_names(disk, log):
        disk.unlink(os.path.join(log, name))
    disk.sync_directory(log)
    header = SegmentHeader(
        owner=owner, sequence=1, first_index=1, previous_term=0, records_before=0, chain=0, salt=random32()
    )
    create_segment(disk, log, header, segment_bytes).file.close()


def check_fresh(disk: Disk, directory: str, identity_path: str) -> None:
    """A directory without identity must hold no node's data. Raises CorruptStorage, OSError."""
    log = os.path.join(directory, LOG)
    path = os.path.join(directory, hard_state.NAME)
    used = ""
    if disk.exists(path):
        file = disk.open(path, writable=False)
        try:
            copy, _ = hard_state.read(file, None)
            if copy.version > 1 or copy.state.term:
                used = path
        except StorageError:
            used = path
        finally:
            file.close()
    segments = segment_names(disk, log)
    for sequence, name in segments:
        path = os.path.join(log, name)
        file = disk.open(path, writable=False)
        if sequence > 1 or len(segments) > 1 or not is_zero(file.read_at(0, file.size()), HEADER_BYTES):
            used = path
        file.close()
    snapshots = [name for name in disk.names(os.path.join(directory, SNAPSHOTS)) if name.endswith(".snapshot")]
    if snapshots:
        used = os.path.join(directory, SNAPSHOTS, snapshots[0])
    if used:
        raise CorruptStorage(
            f"{identity_path} is missing, but {used} holds a node's data: restore the identity file, or move what is"
            " left away and start the node with --join: it joins its cluster anew"
        )
