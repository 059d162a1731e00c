"""The disk: an append-only log, term and vote, snapshots, in one locked directory (docs/disk-format.md)."""

from leto.storage.flush import AdaptiveFlusher, InlineFlusher, ThreadFlusher
from leto.storage.store import FileStore

__all__ = ["AdaptiveFlusher", "FileStore", "InlineFlusher", "ThreadFlusher"]
