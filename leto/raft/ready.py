"""What a node wants done: the only output of the core.

The caller's duties, in order:

1. Send `messages` at once. They depend on nothing that is not yet durable.
2. Give `snapshots_to_send` to the snapshot streams.
3. If `snapshot` is set, make it the node's state (keyspace, then log) before anything else of this Ready.
4. Write `hard_state` and `entries` (truncating a conflicting suffix: entries[0].index may lie within the
   stored log), and fsync once if `must_sync`. Readys are written in the order of their numbers.
5. When that is durable call `node.persisted(number)`; then send `messages_after_persist`. A Ready with
   neither hard_state, entries nor snapshot is durable as soon as all the earlier ones are.
6. Apply `committed` in order, then call `node.applied(index)` with the last one's index.
7. Serve the reads in `reads` once that index is applied.
"""

from __future__ import annotations

import msgspec

from leto.raft.messages import Entry, HardState, InstallSnapshot, Message, SnapshotMeta


class ReadState(msgspec.Struct, frozen=True, gc=False):
    """The read with number `context` is confirmed: serve it once `index` is applied, judging expiry by
    max(log time, clock_ms). `index` 0: it cannot be confirmed (the leader changed or refused); ask again."""

    context: int
    index: int
    clock_ms: int


class Ready(msgspec.Struct, frozen=True):
    number: int
    messages: list[Message]
    messages_after_persist: list[Message]
    hard_state: HardState | None
    entries: list[Entry]
    must_sync: bool
    snapshot: SnapshotMeta | None
    committed: list[Entry]  # never beyond what this node itself has durable
    reads: list[ReadState]
    snapshots_to_send: list[InstallSnapshot]
