"""What the core may ask of the durable log: an interface, handed in, as etcd's Storage is."""

from __future__ import annotations

from typing import Protocol

from leto.raft.messages import Entry


class LogReader(Protocol):
    """The durable part of the log. Never blocks for long; asked only for what is durable."""

    @property
    def first_index(self) -> int:
        """Index of the first entry that is still stored (last_index + 1 if there is none)."""

    @property
    def last_index(self) -> int:
        """Index of the last stored entry, or the snapshot's index, or 0."""

    def term(self, index: int) -> int:
        """Term of the entry at `index`; 0 for index 0; the snapshot's for its index. Raises Compacted, Unavailable."""

    def entries(self, low: int, high: int, max_bytes: int) -> list[Entry]:
        """Entries low <= index < high: at least one, then as many as fit max_bytes. Raises Compacted, Unavailable."""

    def configurations(self) -> list[Entry]:
        """Every stored entry of kind CONFIGURATION, in order."""
