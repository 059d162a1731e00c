"""The data directory of a node that starts: whose it is, and how it begins."""

from __future__ import annotations

import os
import uuid

from leto.config import Config, FsyncPolicy
from leto.errors import ForeignDirectory
from leto.replica.joining import bootstrap
from leto.storage.identity import NAME as IDENTITY
from leto.storage.store import MARK_SECONDS, FileStore


def refuse_the_originals(raftdir: str) -> None:
    """A user who moves over would else find an empty keyspace where the data was. Raises ForeignDirectory."""
    log = os.path.join(raftdir, "raft.db")
    if os.path.exists(log) and not os.path.exists(os.path.join(raftdir, IDENTITY)):
        raise ForeignDirectory(
            f"{log} is the log of the original Leto, which this one cannot read: give this node a directory of its own"
        )


def open_store(config: Config, fsync: FsyncPolicy | None = None) -> FileStore:
    """Open the node's directory, empty or not. Raises as FileStore.open() does."""
    return FileStore.open(
        config.raftdir,
        fsync=fsync or config.fsync,
        segment_bytes=config.segment_bytes,
        min_free_bytes=config.min_free_bytes,
        # a writer thread brings the watermark up to date when it rests; inline every write does
        mark_seconds=0.0 if config.flush == "inline" else MARK_SECONDS,
    )


def bootstrapped(store: FileStore, config: Config) -> FileStore:
    """Make the empty directory a cluster of one, durable whatever the policy is for clients' writes.

    A store that syncs every second starts a thread with its first write, and no thread survives twistd's fork.
    """
    store.close()
    durable = open_store(config, "always")
    try:
        bootstrap(durable, config, lambda: uuid.uuid4().hex)
    finally:
        durable.close()
    return open_store(config)
